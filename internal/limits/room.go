// Package limits bounds how much may wait: it keeps the limits, judges by them which new jobs may come in,
// and says when those that may not had better come again.
//
// What waits is counted by the counters and lists that the scripts keep anyway. So a limit costs nothing to
// the jobs that it isn't for, and to those that it is for a share of a look. One process is exact. Several
// may each let in what they have under way while the others look.
package limits

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access/store"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/queue"
)

// Config of a Room. All of it is needed but Note.
type Config struct {
	Redis  redis.UniversalClient
	Prefix string
	Store  *jobstore.Store
	Queue  *queue.Queue
	Log    *slog.Logger
	// Note writes into the audit log; nil = nothing does.
	Note func(ctx context.Context, by store.Actor, action, target string) error
}

// A Room is one process's.
type Room struct {
	Config
	table atomic.Pointer[table]
	bell  chan struct{}

	reloading sync.Mutex

	mu      sync.Mutex
	kinds   map[jobstore.Kind]bool // that there are
	next    *look                  // begins when the one before has ended
	begun   uint64                 // looks
	ends    time.Time              // when the newest look ended
	took    time.Duration
	held    map[group]*held
	refused map[group]int64 // since the last sample
	drained drains
}

// A table is the limits that hold.
type table struct {
	rev    string
	limits []*limit
	at     time.Time // when it was read
}

// New returns a room, which knows no limits before Reload.
func New(c Config) *Room {
	r := &Room{Config: c, bell: make(chan struct{}, 1), kinds: map[jobstore.Kind]bool{},
		held: map[group]*held{}, refused: map[group]int64{}}
	r.table.Store(&table{rev: "?"})
	return r
}

// Notify says that a limit may have changed. It doesn't block.
func (r *Room) Notify() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// lookEvery is how often a process asks for changed limits, whose bell may get lost.
const lookEvery = time.Second

// Run keeps the limits up to date, and measures how fast what waits is worked off, until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		_ = r.Reload(ctx) // what was known stays
		if len(r.table.Load().limits) > 0 {
			_ = r.sample(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.bell:
		}
	}
}

// Reload reads the limits, if they have changed.
func (r *Room) Reload(ctx context.Context) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rev, err := r.Redis.HGet(ctx, r.key(), "rev").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	old := r.table.Load()
	if rev == old.rev {
		t := &table{rev: rev, limits: old.limits, at: time.Now()}
		if err := r.saidAnew(ctx, t); err != nil {
			return err
		}
		r.table.Store(t)
		if len(old.limits) > 0 && !r.samples() {
			return r.learn(ctx)
		}
		return nil
	}
	t := &table{rev: rev, at: time.Now()}
	all, err := r.Redis.HGetAll(ctx, r.key()).Result()
	if err != nil {
		return err
	}
	for name, text := range all {
		if name == "rev" {
			t.rev = text
			continue
		}
		l, err := parse(name, text)
		if err != nil { // of a later release, perhaps
			r.Log.WarnContext(ctx, "a limit can't be read, and doesn't hold here", "limit", name, "error", err)
			continue
		}
		t.limits = append(t.limits, l)
	}
	if len(t.limits) > 0 {
		if err := r.learn(ctx); err != nil {
			return err
		}
	}
	if err := r.sayThem(ctx, t); err != nil {
		return err
	}
	r.table.Store(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	for g := range r.held {
		mine := func(l *limit) bool { return l.owner == g.owner && l.name == g.limit }
		if !slices.ContainsFunc(t.limits, mine) {
			delete(r.held, g)
			delete(r.refused, g)
		}
	}
	return nil
}

// samples reports whether Run learns of new kinds by sampling.
func (r *Room) samples() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.drained.samples) > 0
}

// stale is when a process that has no Run looks for changed limits.
const stale = 2 * time.Second

// current is the limits that hold.
func (r *Room) current(ctx context.Context) []*limit {
	if t := r.table.Load(); time.Since(t.at) < stale {
		return t.limits
	}
	_ = r.Reload(ctx) // what was known stays: if Redis is away, no job is made anyway
	return r.table.Load().limits
}

// learn finds out which kinds of jobs there are.
func (r *Room) learn(ctx context.Context) error {
	kinds, err := r.Store.Kinds(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range kinds {
		r.kinds[k] = true
	}
	return nil
}

// A look is what waits, at one moment.
type look struct {
	number uint64
	done   chan struct{} // closed when the rest is there
	*seen
	err error
}

// callTimeout bounds a look, so that a Redis that hangs doesn't stop the next.
const callTimeout = 2 * time.Second

// look returns one that begins after the call, which those who ask meanwhile share.
func (r *Room) look(ctx context.Context) (*look, error) {
	r.mu.Lock()
	l := r.next
	if l == nil {
		l = &look{done: make(chan struct{})}
		r.next = l
		if r.begun == 0 || !r.ends.IsZero() {
			go r.take(l)
		}
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return l, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take makes looks for as long as somebody has asked for the next. Redis has rest between them for three
// times as long as one takes, so that refusals never keep it from its work.
func (r *Room) take(l *look) {
	ctx := context.Background()
	for l != nil {
		r.mu.Lock()
		rest := min(3*r.took, 50*time.Millisecond) - time.Since(r.ends)
		r.mu.Unlock()
		if rest > 0 {
			_ = loop.Sleep(ctx, rest)
		}
		r.mu.Lock()
		r.begun++
		l.number, r.next, r.ends = r.begun, nil, time.Time{}
		kinds := make([]jobstore.Kind, 0, len(r.kinds))
		for k := range r.kinds {
			kinds = append(kinds, k)
		}
		r.mu.Unlock()
		begin := time.Now()
		l.seen, l.err = r.see(ctx, r.table.Load().limits, kinds)
		r.mu.Lock()
		r.ends = time.Now()
		r.took = r.ends.Sub(begin)
		close(l.done)
		l = r.next
		r.mu.Unlock()
	}
}
