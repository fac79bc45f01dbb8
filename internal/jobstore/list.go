package jobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Limits of one call of List. There is no index by state or type yet, so a
// filter is a walk over the jobs: it goes on in the caller's next page.
const (
	defaultPage = 100
	maxPage     = 1000
	maxScan     = 5000 // jobs that one call looks at
	scanChunk   = 500  // jobs of one round trip while it looks
	// scanTime is after how long a call ends with what it has, on a Redis that is slow.
	scanTime = 250 * time.Millisecond
)

// List returns the newest jobs that the filter lets through. One call looks at a
// bounded number of jobs, so a page may be short, or empty, although there are
// more: then it has a Next and is not Complete.
func (s *Store) List(ctx context.Context, f job.Filter) (job.Page, error) {
	limit := min(max(f.Limit, 0), maxPage)
	if limit == 0 {
		limit = defaultPage
	}
	filtered := f.State != "" || f.Type != ""
	page := job.Page{Next: f.Before}
	chunk := limit
	for begun := time.Now(); ; {
		ids, end, err := s.idsBefore(ctx, page.Next, min(chunk, maxScan-page.Scanned))
		if err != nil {
			return job.Page{}, err
		}
		found := ids
		if filtered {
			if found, err = s.sift(ctx, ids, f); err != nil {
				return job.Page{}, err
			}
		}
		if room := limit - len(page.Jobs); len(found) > room {
			found = found[:room]
			ids = ids[:slices.Index(ids, found[room-1])+1]
			end = false
		}
		if err := s.appendPage(ctx, &page, found, f); err != nil {
			return job.Page{}, err
		}
		page.Scanned += len(ids)
		if end {
			page.Next, page.Complete = "", true
			return page, nil
		}
		page.Next = ids[len(ids)-1]
		if len(page.Jobs) == limit || page.Scanned >= maxScan || time.Since(begun) > scanTime {
			return page, nil
		}
		chunk = scanChunk
	}
}

// appendPage reads the jobs in full. What is gone meanwhile, damaged, or has moved out of
// the filter is not in lists.
func (s *Store) appendPage(ctx context.Context, page *job.Page, ids []job.ID, f job.Filter) error {
	records, err := s.readMany(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.err == nil && f.Lets(r.record.Snapshot.State, r.record.Snapshot.Type) {
			page.Jobs = append(page.Jobs, r.record.Snapshot)
		}
	}
	return nil
}

// sift returns those of the jobs that the filter lets through, by a plain read of two
// fields of each: Redis does many of them in the time of reading one whole record.
func (s *Store) sift(ctx context.Context, ids []job.ID, f job.Filter) ([]job.ID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	read := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		read[i] = pipe.HMGet(ctx, s.key(id), "h", "m")
	}
	_, _ = pipe.Exec(ctx) // each command has its error too
	var found []job.ID
	for i, id := range ids {
		values, err := read[i].Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look through jobs: %w", err)
		}
		h, err1 := parseHead(text(values[0]))
		m, err2 := parseMoving(text(values[1]))
		if errors.Join(err1, err2) == nil && f.Lets(m.state, h.kind) {
			found = append(found, id)
		}
	}
	return found, nil
}

// Count returns how many jobs there are: all that a list would show.
func (s *Store) Count(ctx context.Context) (int64, error) {
	pipe := s.rdb.Pipeline()
	var counts [job.Shards]*redis.IntCmd
	for k, base := range s.bases {
		counts[k] = pipe.ZCard(ctx, base+"ids")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	var n int64
	for _, c := range counts {
		n += c.Val()
	}
	return n, nil
}

// idsBefore returns at most n of the newest ids before a cursor, newest first, over all
// shards; at least one, unless it is the end. Each shard is asked for little more than
// its share. Below the last id of a shard that has more, nothing is known, and so nothing told.
func (s *Store) idsBefore(ctx context.Context, before job.ID, n int) (ids []job.ID, end bool, err error) {
	top := "+"
	if before != "" {
		top = "(" + string(before)
	}
	share := min(n, n/(job.Shards/2)+8)
	pipe := s.rdb.Pipeline()
	var pages [job.Shards]*redis.StringSliceCmd
	for k, base := range s.bases {
		pages[k] = pipe.ZRevRangeByLex(ctx, base+"ids", &redis.ZRangeBy{Max: top, Min: "-", Count: int64(share)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, fmt.Errorf("list ids: %w", err)
	}
	var known job.ID // ids from here on are known
	for _, p := range pages {
		page := p.Val()
		for _, id := range page {
			ids = append(ids, job.ID(id))
		}
		if len(page) == share {
			known = max(known, job.ID(page[share-1]))
		}
	}
	slices.SortFunc(ids, func(a, b job.ID) int { return cmp.Compare(b, a) })
	all := len(ids)
	if i := slices.Index(ids, known); i >= 0 {
		ids = ids[:i+1]
	}
	ids = ids[:min(len(ids), n)]
	return ids, known == "" && len(ids) == all, nil
}
