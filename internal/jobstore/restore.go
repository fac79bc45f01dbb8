package jobstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/internal/redisdb"
	"longshore/job"
)

// A backup is restored while no program works on the installation: who saw a job without the one that it is
// after would cancel it, and half of a batch would end. P:meta says which backup is on its way here, and no
// program opens such an installation; each partition says how far it is, in the script that makes jobs. So
// a restore that was killed goes on where it was, and no job is made twice, not even if it has run and gone
// since.

// Errors of BeginRestore and what comes behind it.
var (
	ErrNotEmpty = errors.New("there are data of an installation already")
	ErrRestored = errors.New("this backup was restored here before")
	// ErrOtherBackup says that the restore of another backup was begun here, and never ended.
	ErrOtherBackup = errors.New("another backup is being restored here")
	ErrAlive       = errors.New("programs of this installation run")
)

// Vacant looks whether a backup may be restored here, and writes nothing; going is true if that was begun
// before. Errors: those above, or Redis's.
func (s *Store) Vacant(ctx context.Context, backup string) (going bool, err error) {
	said, err := s.rdb.HMGet(ctx, s.metaKey(), "format", "partitions", "restoring", "restored").Result()
	if err != nil {
		return false, err
	}
	if restored, _, _ := strings.Cut(text(said[3]), " "); restored == backup {
		return false, ErrRestored
	}
	switch text(said[2]) {
	case backup:
		s.restoring = backup // else Open refuses
		return true, nil
	case "":
	default:
		return false, ErrOtherBackup
	}
	for _, base := range s.bases {
		n, err := s.rdb.Exists(ctx, base+"last", base+"heads", base+"n", base+"ticks").Result()
		if err != nil {
			return false, err
		}
		if n > 0 {
			return false, ErrNotEmpty
		}
	}
	return false, nil
}

// A Restore puts jobs of one backup into an installation.
type Restore struct {
	s      *Store
	swept  []string // what key sweep says, of each partition
	parts  []*restorePart
	wait   sync.WaitGroup
	closed bool
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // of its goroutines, which end with it
}

// sweepsSeen is longer than a program that works is without a sweep.
const sweepsSeen = 2 * time.Second

// BeginRestore begins, or goes on: no program opens the installation until EndRestore. epoch is that of the
// installation that the backup is of: what is kept beside its files is no loss of this one. Open has been
// called before. Errors: ErrOtherBackup, ErrAlive, or Redis's.
func (s *Store) BeginRestore(ctx context.Context, backup, epoch string) (*Restore, error) {
	first, err := s.rdb.HSetNX(ctx, s.metaKey(), "restoring", backup).Result()
	if err != nil {
		return nil, err
	}
	if !first { // begun before, or since Vacant looked, perhaps for another one
		is, err := s.rdb.HGet(ctx, s.metaKey(), "restoring").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		if is != backup {
			return nil, ErrOtherBackup
		}
	}
	s.restoring = backup
	r := &Restore{s: s}
	if r.swept, err = s.sweeps(ctx); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(sweepsSeen):
	}
	now, err := s.sweeps(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(now, r.swept) {
		err := ErrAlive
		if first { // as if nobody had been here
			err = errors.Join(err, s.rdb.HDel(ctx, s.metaKey(), "restoring").Err())
		}
		return nil, err
	}
	accepted, err := s.rdb.HGet(ctx, s.metaKey(), "accepted").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	if epoch != "" && !slices.Contains(strings.Fields(accepted), epoch) {
		said := strings.TrimSpace(epoch + " " + accepted)
		if err := s.rdb.HSet(ctx, s.metaKey(), "accepted", said).Err(); err != nil {
			return nil, err
		}
	}
	return r, r.start(ctx)
}

func (s *Store) sweeps(ctx context.Context) ([]string, error) {
	said := make([]string, len(s.bases))
	for i, base := range s.bases {
		at, err := s.rdb.Get(ctx, base+"sweep").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		said[i] = at
	}
	return said, nil
}

// Bounds of a call that makes jobs.
const (
	restoreChunk = 200
	restoreBytes = 1 << 20
)

// A restorePart makes the jobs of one partition, in their order.
type restorePart struct {
	base  string
	swept string
	done  int64 // jobs up to this number are made
	jobs  []numbered
	size  int
	calls chan []numbered

	made, bad int64
	err       error
}

type numbered struct {
	n   int64
	job *Kept
}

func (r *Restore) start(ctx context.Context) error {
	r.ctx, r.cancel = context.WithCancel(redisdb.Replicated(ctx))
	for i, base := range r.s.bases {
		done, err := r.s.rdb.Get(ctx, base+"restore").Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		p := &restorePart{base: base, swept: r.swept[i], done: done, calls: make(chan []numbered, 2)}
		r.parts = append(r.parts, p)
		r.wait.Go(func() {
			for jobs := range p.calls {
				if p.err == nil {
					p.err = p.make(r.ctx, r.s, jobs)
				}
				if p.err != nil {
					r.cancel()
				}
			}
		})
	}
	return nil
}

// Add makes a job, if it isn't made: the n-th of the backup, from 1. They come in their order. An error is
// told by Flush.
func (r *Restore) Add(n int64, k *Kept) error { return r.add(numbered{n, k}) }

// AddEnded counts a job in its batch that has ended while the backup was written, and isn't made; letter is
// as Letters tells it. It stands for Add.
func (r *Restore) AddEnded(n int64, k *Kept, letter string) error {
	record, err := parseRecord(string(k.Record))
	if _, known := states[letter]; !known || err != nil || record.batch == "" {
		return nil
	}
	return r.add(numbered{n, &Kept{ID: k.ID, Record: []byte(letter + record.batch.Raw())}})
}

func (r *Restore) add(one numbered) error {
	k := one.job
	p := r.parts[r.s.part(k.ID)]
	if one.n <= p.done {
		return nil
	}
	size := len(k.Record) + len(k.Head)
	for _, list := range k.Beside {
		for _, value := range list {
			size += len(value)
		}
	}
	p.jobs, p.size = append(p.jobs, one), p.size+size
	if len(p.jobs) >= restoreChunk || p.size >= restoreBytes {
		return r.send(p)
	}
	return nil
}

func (r *Restore) send(p *restorePart) error {
	if len(p.jobs) == 0 {
		return nil
	}
	jobs := p.jobs
	p.jobs, p.size = nil, 0
	select {
	case p.calls <- jobs:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// Flush waits until all jobs are made, and tells how many, and how many can't be read. No job comes behind
// it. Errors: ErrAlive, or Redis's.
func (r *Restore) Flush() (made, bad int64, err error) {
	for _, p := range r.parts {
		_ = r.send(p) // the error is a part's
	}
	r.close()
	defer r.cancel()
	for _, p := range r.parts {
		made, bad = made+p.made, bad+p.bad
		if p.err != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = p.err
		}
	}
	return made, bad, cmp.Or(err, context.Cause(r.ctx))
}

// Stop ends what is under way; behind Flush it does nothing.
func (r *Restore) Stop() {
	r.cancel()
	r.close()
}

func (r *Restore) close() {
	if !r.closed {
		r.closed = true
		for _, p := range r.parts {
			close(p.calls)
		}
	}
	r.wait.Wait()
}

func (p *restorePart) make(ctx context.Context, s *Store, jobs []numbered) error {
	args := []any{jobs[len(jobs)-1].n, p.swept, ms(s.lease)}
	var heads []any
	known := map[string]int{}
	items := make([]any, 0, 5*len(jobs))
	for _, one := range jobs {
		k := one.job
		head := 0
		if len(k.Head) > 8 && len(k.Record) >= 10 {
			said := string(k.Record[2:10]) + string(k.Head)
			if head = known[said]; head == 0 {
				if h, err := parseHead(said[16:]); err == nil { // what can't be read the script tells
					// There may have been more than may come: one that was forgotten while a job came.
					err := s.Enroll(ctx, job.ParsePlace(h.queue).Queue)
					if err != nil && !errors.Is(err, ErrManyQueues) {
						return err
					}
				}
				heads = append(heads, said)
				head = len(heads)
				known[said] = head
			}
		}
		items = append(items, k.ID.Raw(), k.Record, head, len(k.Beside))
		for _, kind := range slices.Sorted(maps.Keys(k.Beside)) {
			items = append(items, kind, len(k.Beside[kind]))
			for _, value := range k.Beside[kind] {
				items = append(items, value)
			}
		}
	}
	args = append(append(append(args, len(heads)), heads...), items...)
	reply, err := s.scripts.restore.Run(ctx, s.rdb, []string{p.base}, args...).Slice()
	switch {
	case err != nil:
		return fmt.Errorf("make jobs: %w", err)
	case len(reply) == 0:
		return errors.New("make jobs: script answered something else")
	case text(reply[0]) == "alive":
		return ErrAlive
	case text(reply[0]) == "ok" && len(reply) == 3:
		p.made, p.bad = p.made+integer(reply[1]), p.bad+integer(reply[2])
	}
	return nil
}

// A KeptBatch is what a backup says of a batch beside its record.
type KeptBatch struct {
	Owner  string `json:"owner"`          // tenant
	Code   []byte `json:"code,omitempty"` // of its owner
	Closed bool   `json:"closed,omitempty"`
	Until  int64  `json:"until"` // when shares of it that nobody has dropped go, in ms
}

// ShareBatches gives each partition its share of batches, before their jobs come. It may be repeated.
func (s *Store) ShareBatches(ctx context.Context, all map[job.ID]KeptBatch) error {
	return s.eachShare(ctx, all, func(pipe redis.Pipeliner, base string, id job.ID, b KeptBatch) {
		whose := b.Owner
		if len(b.Code) > 0 {
			whose += "\x00" + string(b.Code)
		}
		pipe.HSetNX(ctx, base+"b:"+id.Raw(), "o", whose)
	})
}

// SealBatches closes the shares of batches that are closed, when all of their jobs have come. It may be
// repeated.
func (s *Store) SealBatches(ctx context.Context, all map[job.ID]KeptBatch) error {
	return s.eachShare(ctx, all, func(pipe redis.Pipeliner, base string, id job.ID, b KeptBatch) {
		if b.Closed {
			pipe.HSet(ctx, base+"b:"+id.Raw(), "sealed", "1")
		}
		if base != s.base(id) { // there it goes with the record
			until := time.UnixMilli(b.Until)
			pipe.PExpireAt(ctx, base+"b:"+id.Raw(), until)
			pipe.PExpireAt(ctx, base+"m:"+id.Raw(), until)
		}
	})
}

func (s *Store) eachShare(ctx context.Context, all map[job.ID]KeptBatch,
	do func(pipe redis.Pipeliner, base string, id job.ID, b KeptBatch)) error {
	for some := range slices.Chunk(slices.Sorted(maps.Keys(all)), bulkSize) {
		_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, base := range s.bases {
				for _, id := range some {
					do(pipe, base, id, all[id])
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("shares of batches: %w", err)
		}
	}
	return nil
}

// RestoreAfter enters a job of a tenant at those that it is after, of which letters tells how each has
// ended; see Letters. One that went while the backup was written may be here all the same, and open. It may
// be repeated.
func (s *Store) RestoreAfter(ctx context.Context, id job.ID, tenant string, before []job.ID,
	letters string) error {
	if len(letters) != len(before) {
		return fmt.Errorf("what %s is after: %w", id, job.ErrDamaged)
	}
	var open []job.ID
	for i, one := range before {
		if letter := letters[i : i+1]; letter == openLetter || letter == goneLetter {
			open = append(open, one)
			continue
		}
		if err := s.resolve(ctx, id, one, letters[i:i+1]); err != nil {
			return err
		}
	}
	if len(open) == 0 {
		return nil
	}
	return s.enter(ctx, id, tenant, open)
}

func (s *Store) resolve(ctx context.Context, id, before job.ID, letter string) error {
	if _, ok := states[letter]; !ok {
		return fmt.Errorf("what %s is after: %w", id, job.ErrDamaged)
	}
	return batch.RunAll(ctx, s.rdb, s.scripts.resolve, 1, []*batch.Call{s.call(id, before.Raw(), letter)})
}

// LoadSchedules writes schedules that DumpSchedules has told. It may be repeated.
func (s *Store) LoadSchedules(ctx context.Context, all map[string]string) error {
	newest := map[string]int64{}
	for key, said := range all {
		var k keptSchedule
		if err := json.Unmarshal([]byte(said), &k); err != nil {
			return fmt.Errorf("schedule %s: %w", key, err)
		}
		tenant, name, _ := strings.Cut(key, "/")
		base, _ := s.schedulePart(tenant, name)
		due, err := strconv.ParseFloat(k.Due, 64)
		if err != nil || len(k.Fields) == 0 {
			return fmt.Errorf("schedule %s: %w", key, job.ErrDamaged)
		}
		if last, err := job.ParseID(k.Fields["lj"]); err == nil {
			k.Fields["lj"] = last.Raw()
		}
		pipe := s.rdb.TxPipeline()
		pipe.Del(ctx, base+"sch:"+key, base+"runs:"+key)
		pipe.ZAdd(ctx, base+"ticks", redis.Z{Score: due, Member: key})
		pipe.HSet(ctx, base+"sch:"+key, k.Fields)
		for _, run := range k.Runs {
			pipe.RPush(ctx, base+"runs:"+key, run)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("schedule %s: %w", key, err)
		}
		newest[base] = max(newest[base], integer(k.Fields["rev"]))
	}
	for base, rev := range newest {
		if err := s.rdb.Set(ctx, base+"revs", rev, 0).Err(); err != nil {
			return err
		}
	}
	return nil
}

// EndRestore opens the installation to programs. It may be repeated.
func (s *Store) EndRestore(ctx context.Context, backup string) error {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	pipe := s.rdb.TxPipeline()
	pipe.HSet(ctx, s.metaKey(), "restored", fmt.Sprintf("%s %d", backup, now.UnixMilli()))
	pipe.HDel(ctx, s.metaKey(), "restoring")
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("end the restore: %w", err)
	}
	for _, base := range s.bases { // behind it: a restore that goes on needs them
		if err := s.rdb.Del(ctx, base+"restore").Err(); err != nil {
			return err
		}
	}
	return nil
}
