package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/redisdb"
	"longshore/job"
)

// Get returns a job as clients see it, without links. Errors: job.ErrNotFound,
// job.ErrDamaged, or Redis's.
func (s *Store) Get(ctx context.Context, id job.ID) (job.Snapshot, error) {
	r, err := s.read(ctx, id, false)
	return r.Snapshot, err
}

// Read returns all of a record, what the job is to do included.
func (s *Store) Read(ctx context.Context, id job.ID) (Record, error) {
	return s.read(ctx, id, true)
}

func (s *Store) read(ctx context.Context, id job.ID, spec bool) (Record, error) {
	c := &redisdb.Call{Key: s.key(id), Args: []any{flag(spec)}}
	if err := redisdb.RunAll(ctx, s.rdb, s.scripts.read, 1, []*redisdb.Call{c}); err != nil {
		return Record{}, err
	}
	return s.decodeCall(id, c, spec)
}

func (s *Store) decodeCall(id job.ID, c *redisdb.Call, spec bool) (Record, error) {
	if err := status(id, c.Reply); err != nil {
		return Record{}, err
	}
	r, err := decode(id, c.Reply)
	if err == nil && spec {
		r.Spec, err = decodeSpec(text(c.Reply[5]))
	}
	return r, err
}

// Revs says how far each job is, in the order of ids. A damaged record counts as missing.
func (s *Store) Revs(ctx context.Context, ids []job.ID) ([]job.Rev, error) {
	calls := make([]*redisdb.Call, len(ids))
	for i, id := range ids {
		calls[i] = &redisdb.Call{Key: s.key(id)}
	}
	if err := redisdb.RunAll(ctx, s.rdb, s.scripts.revs, 500, calls); err != nil {
		return nil, err
	}
	revs := make([]job.Rev, len(ids))
	for i, c := range calls {
		m, err := parseMoving(text(c.Reply[0]))
		revs[i] = job.Rev{ID: ids[i], Rev: m.rev, Done: m.state.Terminal(), Missing: err != nil}
	}
	return revs, nil
}

// List returns the newest jobs that the filter lets through, and the cursor
// of the next page ("" at the end). A page may be short although there are
// more: one call looks at 20 times the limit at most.
func (s *Store) List(ctx context.Context, f job.Filter) ([]job.Snapshot, job.ID, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	var page []job.Snapshot
	cursor := f.Before
	for range 20 {
		ids, err := s.newest(ctx, cursor, limit)
		if err != nil {
			return nil, "", err
		}
		for _, id := range ids {
			cursor = id.id
			if id.err != nil {
				continue // gone meanwhile, or damaged: not in lists
			}
			snap := id.record.Snapshot
			if (f.State == "" || snap.State == f.State) && (f.Type == "" || snap.Type == f.Type) {
				page = append(page, snap)
			}
			if len(page) == limit {
				return page, cursor, nil
			}
		}
		if len(ids) < limit {
			return page, "", nil
		}
	}
	return page, cursor, nil
}

type listed struct {
	id     job.ID
	record Record
	err    error
}

// newest reads the limit newest jobs before a cursor, over all shards.
func (s *Store) newest(ctx context.Context, before job.ID, limit int) ([]listed, error) {
	top := "+"
	if before != "" {
		top = "(" + string(before)
	}
	pipe := s.rdb.Pipeline()
	var pages [job.Shards]*redis.StringSliceCmd
	for k, base := range s.bases {
		pages[k] = pipe.ZRevRangeByLex(ctx, base+"ids", &redis.ZRangeBy{Max: top, Min: "-", Count: int64(limit)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("list ids: %w", err)
	}
	var ids []string
	for _, p := range pages {
		ids = append(ids, p.Val()...)
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	ids = ids[:min(len(ids), limit)]

	calls, found := make([]*redisdb.Call, len(ids)), make([]listed, len(ids))
	for i, id := range ids {
		calls[i] = &redisdb.Call{Key: s.key(job.ID(id)), Args: []any{"0"}}
	}
	if err := redisdb.RunAll(ctx, s.rdb, s.scripts.read, groupSize, calls); err != nil {
		return nil, err
	}
	for i, c := range calls {
		id := job.ID(ids[i])
		r, err := s.decodeCall(id, c, false)
		found[i] = listed{id, r, err}
	}
	return found, nil
}

// Exists tells which of the jobs have a record, of whatever state or health,
// in the order of ids.
func (s *Store) Exists(ctx context.Context, ids []job.ID) ([]bool, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(ids))
	for i, id := range ids {
		cmds[i] = pipe.Exists(ctx, s.key(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	there := make([]bool, len(ids))
	for i, c := range cmds {
		there[i] = c.Val() == 1
	}
	return there, nil
}

// Quarantined returns the number of damaged records that were set aside.
func (s *Store) Quarantined(ctx context.Context) (int64, error) {
	pipe := s.rdb.Pipeline()
	var cmds [job.Shards]*redis.IntCmd
	for k, base := range s.bases {
		cmds[k] = pipe.ZCard(ctx, base+"quarantine")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return 0, err
	}
	var n int64
	for _, c := range cmds {
		n += c.Val()
	}
	return n, nil
}
