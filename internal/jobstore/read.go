package jobstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/job"
)

// Get returns a job as clients see it, without links. Errors: job.ErrNotFound,
// job.ErrDamaged, or Redis's.
func (s *Store) Get(ctx context.Context, id job.ID) (job.Snapshot, error) {
	r, err := s.read(ctx, id, false)
	return r.Snapshot, err
}

// GetMany looks jobs up, in the order of ids, with one call for many. Each has
// an error of its own, job.ErrNotFound or job.ErrDamaged; err is Redis's.
func (s *Store) GetMany(ctx context.Context, ids []job.ID) (readings []job.Reading, err error) {
	records, err := s.readMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	readings = make([]job.Reading, len(ids))
	for i, r := range records {
		readings[i] = job.Reading{Snapshot: r.record.Snapshot, Err: r.err}
		readings[i].ID = ids[i]
	}
	return readings, nil
}

// Read returns all of a record, what the job is to do included.
func (s *Store) Read(ctx context.Context, id job.ID) (Record, error) {
	return s.read(ctx, id, true)
}

func (s *Store) read(ctx context.Context, id job.ID, spec bool) (Record, error) {
	reply, err := s.reads.Do(ctx, s.key(id), flag(spec))
	if err != nil {
		return Record{}, err
	}
	return s.decodeCall(id, reply)
}

func (s *Store) decodeCall(id job.ID, reply []any) (Record, error) {
	if err := status(id, reply); err != nil {
		return Record{}, err
	}
	return decode(id, reply)
}

// Revs says how far each job is, in the order of ids. A damaged record counts as missing.
// It is one pipeline of a plain read each: Redis does twenty of them in the time that
// entering a script takes.
func (s *Store) Revs(ctx context.Context, ids []job.ID) ([]job.Rev, error) {
	pipe := s.rdb.Pipeline()
	found := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		found[i] = pipe.HGet(ctx, s.key(id), "m")
	}
	_, _ = pipe.Exec(ctx) // each command has its error too
	revs := make([]job.Rev, len(ids))
	for i, id := range ids {
		text, err := found[i].Result()
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
		m, err := parseMoving(text)
		revs[i] = job.Rev{ID: id, Rev: m.rev, Done: m.state.Terminal(), Missing: err != nil}
	}
	return revs, nil
}

type listed struct {
	id     job.ID
	record Record
	err    error
}

func (s *Store) readMany(ctx context.Context, ids []job.ID) ([]listed, error) {
	calls, found := make([]*batch.Call, len(ids)), make([]listed, len(ids))
	for i, id := range ids {
		calls[i] = &batch.Call{Key: s.key(id), Args: []any{flag(false)}}
	}
	if err := batch.ReadAll(ctx, s.rdb, readRecords, groupSize, calls); err != nil {
		return nil, err
	}
	for i, c := range calls {
		r, err := s.decodeCall(ids[i], c.Reply)
		found[i] = listed{ids[i], r, err}
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
