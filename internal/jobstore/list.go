package jobstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Limits of one call of List: what has no index of its own is found by looking at records,
// and goes on in the caller's next page.
const (
	defaultPage = 100
	maxPage     = 1000
	maxScan     = 10_000 // records that one call looks at
	scanChunk   = 500    // … of one round trip
	// scanTime is after how long a call ends with what it has, on a Redis that is slow.
	scanTime = 250 * time.Millisecond
)

// ErrBadCursor says that a cursor is none, or that of a list with another filter.
var ErrBadCursor = errors.New("cursor is not one of this list")

// A listEntry is one job of an index, before its record is read.
type listEntry struct {
	id   job.ID
	at   int64 // created, or entered the state (ms)
	part int
	tie  string // tells entries of one moment apart
}

// newestFirst orders entries, the newest first.
func newestFirst(a, b listEntry) int {
	return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.part, a.part), strings.Compare(b.tie, a.tie))
}

// mark of a list says what its cursors are good for.
func mark(f job.Filter) string {
	sum := sha256.Sum256([]byte(f.Tenant + "\x00" + f.Subject + "\x00" + string(f.State) + "\x00" + f.Type +
		narrowText(f)))
	return string(sum[:4])
}

func writeCursor(f job.Filter, e listEntry) string {
	b := append([]byte(mark(f)), byte(e.part))
	b = binary.BigEndian.AppendUint64(b, uint64(e.at))
	return base64.RawURLEncoding.EncodeToString(append(b, e.tie...))
}

// readCursor reads what writeCursor wrote; ok is false for "", the beginning.
func readCursor(f job.Filter, parts int) (e listEntry, ok bool, err error) {
	if f.Cursor == "" {
		return e, false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(f.Cursor)
	if err != nil || len(b) != 15 && len(b) != 29 || string(b[:4]) != mark(f) || int(b[4]) >= parts ||
		b[5] > 127 || binary.BigEndian.Uint64(b[5:]) == 0 ||
		(len(b) == 29) != byMember(f) {
		return e, false, ErrBadCursor
	}
	return listEntry{part: int(b[4]), at: int64(binary.BigEndian.Uint64(b[5:])),
		tie: string(b[13:])}, true, nil
}

// List returns the newest jobs that the filter lets through; of a rare state, in the order in
// which they entered it. One call looks at a bounded number of jobs, so a page may be
// short, or empty, although there are more: then it has a Next and is not Complete.
// Errors: ErrBadCursor, or Redis's.
func (s *Store) List(ctx context.Context, f job.Filter) (job.Page, error) {
	limit := min(max(f.Limit, 0), maxPage)
	if limit == 0 {
		limit = defaultPage
	}
	after, going, err := readCursor(f, len(s.bases))
	if err != nil {
		return job.Page{}, err
	}
	src, err := s.source(ctx, f)
	if err != nil {
		return job.Page{}, fmt.Errorf("list jobs: %w", err)
	}
	page := job.Page{Next: f.Cursor}
	for begun := time.Now(); ; {
		want := limit - len(page.Jobs)
		if src.filtered || page.Scanned > 0 {
			want = scanChunk
		}
		entries, end, err := src.next(ctx, after, going, min(want, maxScan-page.Scanned))
		if err != nil {
			return job.Page{}, fmt.Errorf("list jobs: %w", err)
		}
		last, err := s.appendPage(ctx, &page, entries, f, limit)
		if err != nil {
			return job.Page{}, err
		}
		page.Scanned += last
		if last == len(entries) && end {
			page.Next, page.Complete = "", true
			return page, nil
		}
		if last > 0 {
			after, going = entries[last-1], true
			page.Next = writeCursor(f, after)
		}
		if len(page.Jobs) == limit || page.Scanned >= maxScan || time.Since(begun) > scanTime {
			return page, nil
		}
	}
}

// appendPage reads the jobs in full that the filter lets through, up to the page's limit, and tells how
// many entries it has used up. What is gone meanwhile, damaged, or has moved out of
// the filter is not in lists.
func (s *Store) appendPage(ctx context.Context, page *job.Page, entries []listEntry, f job.Filter,
	limit int) (used int, err error) {
	ids := make([]job.ID, 0, len(entries))
	at := make([]int, 0, len(entries))
	lets, err := s.sift(ctx, entries, f)
	if err != nil {
		return 0, err
	}
	for i, e := range entries {
		if lets[i] {
			ids, at = append(ids, e.id), append(at, i)
		}
	}
	if room := limit - len(page.Jobs); len(ids) > room {
		ids, at = ids[:room], at[:room]
		if used = 0; room > 0 {
			used = at[room-1] + 1
		}
	} else {
		used = len(entries)
	}
	records, err := s.readMany(ctx, ids)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if r.err == nil && ViewOf(f).Has(r.record.Owner) &&
			f.Lets(r.record.Snapshot.State, r.record.Snapshot.Type) {
			page.Jobs = append(page.Jobs, r.record.Snapshot)
		}
	}
	return used, nil
}

// sift tells which of the jobs the filter lets through, by their records alone.
func (s *Store) sift(ctx context.Context, entries []listEntry, f job.Filter) ([]bool, error) {
	lets := make([]bool, len(entries))
	if f.State == "" && !f.Narrow() && f.Subject == "" { // entries are of the type already
		for i := range lets {
			lets[i] = true
		}
		return lets, nil
	}
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("look through jobs: %w", err)
	}
	for i, c := range cores {
		r, err := parseRecord(c.text)
		lets[i] = err == nil && lets1(&r, ids[i], f)
	}
	if f.Label != "" {
		if err := s.siftLabel(ctx, ids, cores, lets, f); err != nil {
			return nil, fmt.Errorf("look at labels: %w", err)
		}
	}
	if f.Queue != "" {
		if err := s.siftQueue(ctx, ids, cores, lets, f); err != nil {
			return nil, fmt.Errorf("look at queues: %w", err)
		}
	}
	if f.Group != "" {
		err = s.siftGroup(ctx, ids, cores, lets, f)
	}
	return lets, err
}

// A listSource brings the entries of a list, newest first.
type listSource struct {
	filtered bool // most entries may not be wanted
	next     func(ctx context.Context, after listEntry, going bool, n int) (entries []listEntry, end bool,
		err error)
}

// source chooses where a list is found: an index of a rare state; a small set or list that
// has all jobs of the state; else the streams of all jobs.
func (s *Store) source(ctx context.Context, f job.Filter) (listSource, error) {
	if f.Subject != "" {
		return listSource{filtered: true, next: s.ownSource(ViewOf(f).Code())}, nil
	}
	families, err := s.families(ctx, ViewOf(f).Tenant, f.Type)
	if err != nil {
		return listSource{}, err
	}
	if slices.Contains(rareStates, f.State) {
		return listSource{filtered: f.Narrow(), next: s.rareSource(f, families)}, nil
	}
	all := listSource{filtered: f.State != "" || f.Narrow(), next: s.streamSource(f, families)}
	var ids []job.ID
	fits := false
	switch f.State {
	case job.Running, job.Uploading:
		ids, fits, err = s.setIDs(ctx, "lease")
		if f.State == job.Uploading && err == nil && fits { // in pieces they have no lease
			more, few, err2 := s.setIDs(ctx, "when")
			ids, fits, err = append(ids, more...), few, err2
		}
	case job.Scheduled, job.Retrying:
		ids, fits, err = s.setIDs(ctx, "when")
	case job.Queued:
		ids, fits, err = s.queuedIDs(ctx)
	}
	if err != nil || !fits {
		return all, err
	}
	next, err := s.smallSource(ctx, ids, f)
	return listSource{filtered: true, next: next}, err
}

// merge brings entries of many sorted sources together. Below the last entry of one that has
// more nothing is known, and so nothing told.
func merge(lists [][]listEntry, more []bool, n int) (entries []listEntry, end bool) {
	var known listEntry
	bounded := false
	for i, list := range lists {
		entries = append(entries, list...)
		if more[i] {
			if last := list[len(list)-1]; !bounded || newestFirst(last, known) < 0 {
				known, bounded = last, true
			}
		}
	}
	slices.SortFunc(entries, newestFirst)
	all := len(entries)
	if bounded {
		i, _ := slices.BinarySearchFunc(entries, known, newestFirst)
		entries = entries[:i+1]
	}
	entries = entries[:min(len(entries), n)]
	return entries, !bounded && len(entries) == all
}

// streamSource walks the streams of families, which are sorted by creation.
func (s *Store) streamSource(f job.Filter, families [][]string) func(context.Context,
	listEntry, bool, int) ([]listEntry, bool, error) {
	return func(ctx context.Context, after listEntry, going bool, n int) ([]listEntry, bool, error) {
		sum := 0
		for _, list := range families {
			sum += len(list)
		}
		share := min(n, 2*n/max(sum, 1)+8)
		pipe := s.rdb.Pipeline()
		var cmds []*redis.XMessageSliceCmd
		var parts []int
		for part, list := range families {
			top, bottom := createdBounds(f)
			if going {
				switch {
				case part == after.part:
					top = "(" + streamID(after)
				case part < after.part:
					top = strconv.FormatInt(after.at, 10)
				default:
					top = "(" + strconv.FormatInt(after.at, 10) + "-0"
				}
			}
			for _, family := range list {
				cmds = append(cmds, pipe.XRevRangeN(ctx, s.bases[part]+"all:"+family, top, bottom,
					int64(share)))
				parts = append(parts, part)
			}
		}
		if len(cmds) == 0 {
			return nil, true, nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, false, err
		}
		lists, more := make([][]listEntry, len(cmds)), make([]bool, len(cmds))
		for i, cmd := range cmds {
			for _, m := range cmd.Val() {
				if e, ok := streamEntry(m, parts[i]); ok {
					lists[i] = append(lists[i], e)
				}
			}
			more[i] = len(cmd.Val()) == share && len(lists[i]) > 0
		}
		entries, end := merge(lists, more, n)
		return entries, end, nil
	}
}

func streamID(e listEntry) string {
	return strconv.FormatInt(e.at, 10) + "-" + strconv.Itoa(int(binary.BigEndian.Uint16([]byte(e.tie))))
}

func streamEntry(m redis.XMessage, part int) (listEntry, bool) {
	created, place, _ := strings.Cut(m.ID, "-")
	raw, _ := m.Values["j"].(string)
	if len(raw) != 16 {
		return listEntry{}, false
	}
	n := integer(place)
	return listEntry{job.FromRaw(raw), integer(created), part, string([]byte{byte(n >> 8), byte(n)})}, true
}

// rareSource walks the sets of a rare state, which are sorted by entry into it.
func (s *Store) rareSource(f job.Filter, families [][]string) func(context.Context,
	listEntry, bool, int) ([]listEntry, bool, error) {
	return func(ctx context.Context, after listEntry, going bool, n int) ([]listEntry, bool, error) {
		var lists [][]listEntry
		var more []bool
		for part, list := range families {
			for _, family := range list {
				for _, letter := range lettersOf(f) {
					key := s.bases[part] + "st:" + letter + ":" + family
					entries, rest, err := s.rareEntries(ctx, f, key, part, after, going, n)
					if err != nil {
						return nil, false, err
					}
					lists, more = append(lists, entries), append(more, rest && len(entries) > 0)
				}
			}
		}
		entries, end := merge(lists, more, n)
		return entries, end, nil
	}
}

// rareEntries are up to n of one set, behind an entry. Those of the entry's very moment that were told
// before are skipped.
func (s *Store) rareEntries(ctx context.Context, f job.Filter, key string, part int, after listEntry,
	going bool, n int) (entries []listEntry, rest bool, err error) {
	top, bottom := entryBounds(f)
	if going {
		top = strconv.FormatInt(after.at, 10)
	}
	for offset := int64(0); ; {
		page, err := s.rdb.ZRevRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Max: top, Min: bottom,
			Offset: offset, Count: int64(n)}).Result()
		if err != nil {
			return nil, false, err
		}
		for _, z := range page {
			raw, _ := z.Member.(string)
			e := listEntry{job.FromRaw(raw), int64(z.Score), part, raw}
			if len(raw) == 16 && (!going || newestFirst(after, e) < 0) {
				entries = append(entries, e)
			}
		}
		if len(page) < n {
			return entries, false, nil
		}
		if len(entries) > 0 {
			return entries, true, nil
		}
		offset += int64(n)
	}
}

// setIDs are the members of a sorted set, in all partitions; fits is false where they are too many.
func (s *Store) setIDs(ctx context.Context, set string) (ids []job.ID, fits bool, err error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.ZRange(ctx, base+set, 0, maxScan)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, err
	}
	for _, cmd := range cmds {
		for _, raw := range cmd.Val() {
			ids = append(ids, job.FromRaw(raw))
		}
	}
	return ids, len(ids) <= maxScan, nil
}

// queuedIDs are those that have a ticket; fits is false where they are too many.
func (s *Store) queuedIDs(ctx context.Context) (ids []job.ID, fits bool, err error) {
	for part := range s.bases {
		places, err := s.Places(ctx, part)
		if err != nil {
			return nil, false, err
		}
		for _, at := range places {
			keys := QueueKeys(QueueName(s.prefix, at.Name(), part, len(s.bases)))
			kinds, err := s.rdb.SMembers(ctx, keys+"parked").Result()
			if err != nil {
				return nil, false, err
			}
			lists := []string{keys + "pending"}
			for _, kind := range kinds {
				lists = append(lists, keys+"pending:type:"+kind)
			}
			for _, list := range lists {
				entries, err := s.rdb.LRange(ctx, list, 0, maxScan).Result()
				if err != nil {
					return nil, false, err
				}
				for _, entry := range entries {
					if id, _, ok := ParseEntry(entry); ok {
						ids = append(ids, id)
					}
				}
				if len(ids) > maxScan {
					return nil, false, nil
				}
			}
		}
	}
	return ids, true, nil
}

// smallSource reads the records of some jobs, and lists those of them that are of the state.
func (s *Store) smallSource(ctx context.Context, ids []job.ID,
	f job.Filter) (func(context.Context, listEntry, bool, int) ([]listEntry, bool, error), error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return nil, err
	}
	var all []listEntry
	for i, c := range cores {
		r, err := parseRecord(c.text)
		if err != nil || !lets1(&r, ids[i], f) {
			continue
		}
		h, ok, err := s.readableHead(ctx, ids[i], &r)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if (f.Type == "" || h.kind == f.Type) && ViewOf(f).Sees(h.tenant, r.owner) {
			all = append(all, listEntry{ids[i], r.created, s.part(ids[i]),
				string([]byte{byte(r.place >> 8), byte(r.place)})})
		}
	}
	slices.SortFunc(all, newestFirst)
	return func(_ context.Context, after listEntry, going bool, n int) ([]listEntry, bool, error) {
		rest := all
		if going {
			i, found := slices.BinarySearchFunc(all, after, newestFirst)
			if rest = all[i:]; found {
				rest = all[i+1:]
			}
		}
		return rest[:min(n, len(rest))], len(rest) <= n, nil
	}, nil
}
