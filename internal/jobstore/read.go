package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	return readings, s.missingOf(ctx, readings)
}

// Read returns all of a record, what the job is to do included.
func (s *Store) Read(ctx context.Context, id job.ID) (Record, error) {
	return s.read(ctx, id, true)
}

func (s *Store) read(ctx context.Context, id job.ID, spec bool) (Record, error) {
	reply, err := s.reads.Do(ctx, s.base(id), id, spec)
	if err != nil {
		return Record{}, err
	}
	found := readingOf(reply)
	return found.record, s.missing(ctx, id, found.err)
}

type listed struct {
	id     job.ID
	record Record
	err    error
}

// readingOf is what readCalls has put into a reply.
func readingOf(reply []any) listed {
	found, _ := reply[0].(listed)
	return found
}

func (s *Store) readMany(ctx context.Context, ids []job.ID) ([]listed, error) {
	calls, found := make([]*batch.Call, len(ids)), make([]listed, len(ids))
	for i, id := range ids {
		calls[i] = &batch.Call{Key: s.base(id), Args: []any{id, false}}
	}
	if err := batch.ReadAll(ctx, s.rdb, s.readCalls, bulkSize, calls); err != nil {
		return nil, err
	}
	for i, c := range calls {
		found[i] = readingOf(c.Reply)
	}
	return found, nil
}

// readCalls reads the records of one partition: a lone one by one GET. What has keys of
// its own, which flags tell of, is read after them; where it is gone by then the record
// has moved on, and is read once more.
func (s *Store) readCalls(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call) {
	again := s.readOnce(ctx, rdb, calls, true)
	if len(again) > 0 {
		s.readOnce(ctx, rdb, again, false)
	}
}

func (s *Store) readOnce(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call,
	first bool) (again []*batch.Call) {
	ids := make([]job.ID, len(calls))
	for i, c := range calls {
		ids[i], _ = c.Args[0].(job.ID)
	}
	cores, err := getCores(ctx, rdb, calls[0].Key, ids)
	if err != nil {
		for _, c := range calls {
			c.Err = err
		}
		return nil
	}
	sides := make([]sideKeys, len(calls))
	pipe := rdb.Pipeline()
	for i, c := range calls {
		spec, _ := c.Args[1].(bool)
		sides[i].ask(ctx, pipe, c.Key, ids[i].Raw(), cores[i], spec)
	}
	if pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx) // each command has its error too
	}
	for i, c := range calls {
		found := listed{id: ids[i]}
		var missing bool
		found.record, missing, found.err = s.decode(ctx, ids[i], &sides[i])
		if found.err != nil && !errors.Is(found.err, job.ErrNotFound) &&
			!errors.Is(found.err, job.ErrDamaged) {
			c.Err = found.err
			continue
		}
		if c.Reply = []any{found}; missing && first {
			again = append(again, c)
		}
	}
	return again
}

// core is a record's text, or why there is none.
type core struct {
	text    string
	there   bool
	strange bool // a key of another type
}

// getCores reads the records of one partition.
func getCores(ctx context.Context, rdb redis.Cmdable, base string, ids []job.ID) ([]core, error) {
	cores := make([]core, len(ids))
	if len(ids) == 1 {
		text, err := rdb.Get(ctx, base+"j:"+ids[0].Raw()).Result()
		strange := err != nil && redis.HasErrorPrefix(err, "WRONGTYPE")
		if err != nil && !errors.Is(err, redis.Nil) && !strange {
			return nil, err
		}
		cores[0] = core{text, err == nil, strange}
		return cores, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = base + "j:" + id.Raw()
	}
	values, err := rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		cores[i].text, cores[i].there = v.(string)
	}
	return cores, nil
}

// cores reads records of any partitions, in the order of ids.
func (s *Store) cores(ctx context.Context, ids []job.ID) ([]core, error) {
	found := make([]core, len(ids))
	for part, base := range s.bases {
		var mine []job.ID
		var at []int
		for i, id := range ids {
			if s.part(id) == part {
				mine, at = append(mine, id), append(at, i)
			}
		}
		for chunk := range slices.Chunk(mine, mgetSize) {
			got, err := getCores(ctx, s.rdb, base, chunk)
			if err != nil {
				return nil, err
			}
			for i, c := range got {
				found[at[i]] = c
			}
			at = at[len(chunk):]
		}
	}
	return found, nil
}

// mgetSize bounds one MGET: Redis does nothing else meanwhile.
const mgetSize = 500

// sideKeys is what of one job stands beside its record.
type sideKeys struct {
	core                   core
	r                      record
	parsed                 error
	exists                 *redis.IntCmd
	spec, result, progress *redis.StringCmd
	errs                   *redis.StringSliceCmd
	rare                   *redis.MapStringStringCmd
}

func (k *sideKeys) ask(ctx context.Context, pipe redis.Pipeliner, base, raw string, c core, spec bool) {
	if k.core = c; !c.there {
		if !c.strange {
			k.exists = pipe.Exists(ctx, base+"j:"+raw) // MGET doesn't tell a key of another type
		}
		return
	}
	if k.r, k.parsed = parseRecord(c.text); k.parsed != nil {
		return
	}
	if spec && k.r.has(flagP) {
		k.spec = pipe.Get(ctx, base+"p:"+raw)
	}
	if k.r.has(flagK) && k.r.result == "" {
		k.result = pipe.Get(ctx, base+"r:"+raw)
	}
	if k.r.has(flagG) {
		k.progress = pipe.Get(ctx, base+"g:"+raw)
	}
	if k.r.has(flagV) {
		k.errs = pipe.LRange(ctx, base+"e:"+raw, 0, -1)
	}
	if k.r.has(flagH) {
		k.rare = pipe.HGetAll(ctx, base+"x:"+raw)
	}
}

// failed is an error of Redis itself, not of what was found there.
func failed(err error) bool {
	return err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE")
}

// found are the values; gone tells that one was missing, strange that a key has another type.
func (k *sideKeys) found() (v sideValues, gone, strange bool, err error) {
	for _, one := range []struct {
		cmd  *redis.StringCmd
		into *string
	}{{k.spec, &v.spec}, {k.result, &v.result}, {k.progress, &v.progress}} {
		if one.cmd == nil {
			continue
		}
		text, err := one.cmd.Result()
		if failed(err) {
			return v, gone, strange, err
		}
		gone = gone || errors.Is(err, redis.Nil)
		strange = strange || err != nil && !errors.Is(err, redis.Nil)
		*one.into = text
	}
	if k.errs != nil {
		v.errs, err = k.errs.Result()
		if failed(err) {
			return v, gone, strange, err
		}
		strange = strange || err != nil
	}
	if k.rare != nil {
		v.rare, err = k.rare.Result()
		if failed(err) {
			return v, gone, strange, err
		}
		strange = strange || err != nil
	}
	return v, gone, strange, nil
}

type sideValues struct {
	spec, result, progress string
	errs                   []string
	rare                   map[string]string
}

// decode turns what was read into a record.
func (s *Store) decode(ctx context.Context, id job.ID, k *sideKeys) (r Record, missing bool, err error) {
	damaged := func(why any) error { return fmt.Errorf("%s: %w: %v", id, job.ErrDamaged, why) }
	if !k.core.there {
		if k.core.strange {
			return r, false, damaged("not a record")
		}
		there, err := k.exists.Result()
		switch {
		case err != nil:
			return r, false, err
		case there == 1:
			return r, true, damaged("not a record")
		}
		return r, false, job.ErrNotFound
	}
	if k.parsed != nil {
		return r, false, damaged(k.parsed)
	}
	v, gone, strange, err := k.found()
	if err != nil {
		return r, false, err
	}
	if strange {
		return r, false, damaged("a key beside it has another type")
	}
	h, err := s.headOf(ctx, s.part(id), &k.r)
	if bad := errRecord(""); errors.As(err, &bad) {
		return r, false, damaged(bad)
	} else if err != nil {
		return r, false, err
	}
	r, err = k.r.decode(id, h, v, k.spec != nil)
	if err != nil {
		return Record{}, false, damaged(err)
	}
	return r, gone, nil
}

// Revs says how far each job is and whose, in the order of ids. A damaged record counts as missing.
func (s *Store) Revs(ctx context.Context, ids []job.ID) ([]job.Rev, error) {
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return nil, err
	}
	revs := make([]job.Rev, len(ids))
	for i, id := range ids {
		r, err := parseFixed(cores[i].text)
		if err == nil && r.flags&(flagM|flagN) != 0 {
			r, err = parseRecord(cores[i].text)
		}
		revs[i] = job.Rev{ID: id, Rev: r.rev, Done: r.state.Terminal(), Missing: err != nil, Owner: r.owner}
		if err != nil {
			continue
		}
		h, err := s.headOf(ctx, s.part(id), &r)
		if bad := errRecord(""); err != nil && !errors.As(err, &bad) {
			return nil, err
		}
		revs[i].Tenant = h.tenant // "" of a damaged head: nobody's
	}
	return revs, nil
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
	cmds := make([]*redis.IntCmd, len(s.bases))
	for k, base := range s.bases {
		cmds[k] = pipe.ZCard(ctx, base+"aside")
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
