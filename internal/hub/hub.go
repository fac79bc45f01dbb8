// Package hub lets any number of requests wait for jobs at the cost of one
// subscription a process. A waiter is a few hundred bytes beside its own
// goroutine: it registers, looks, waits, and looks again. Wait does so once, for
// a long-poll; a Watcher stays, for a stream of events.
//
// A notification only shortens the wait; the record is what counts. So every
// waiting job is looked up again each Fallback, and all of them after the
// subscription had to be made anew: a lost message costs seconds, never a hang.
package hub

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"longshore/job"
)

const (
	// Fallback is the time between two look-ups of a waiting job. It leaves the
	// look-up itself 100 ms of the 2.5 s that a lost notification may cost.
	Fallback = 2400 * time.Millisecond

	// batch is the number of jobs in one look-up: small enough that Redis
	// serves others in between.
	batch = 500

	// lookTimeout bounds one look-up of a batch, so that a Redis that hangs
	// doesn't stop the next try.
	lookTimeout = 5 * time.Second

	// spread is the longest delay before all are looked up after a reconnect:
	// other processes reconnect in the same moment.
	spread = 250 * time.Millisecond

	shards = 64
)

// A Reader tells how far jobs have come. jobstore.Store implements it.
type Reader interface {
	// Revs looks jobs up and answers in the same order.
	Revs(ctx context.Context, ids []job.ID) ([]job.Rev, error)
	// Listen calls event for each published change, and reset after each
	// connect, until ctx ends. It reconnects by itself.
	Listen(ctx context.Context, event func(job.Rev), reset func()) error
}

// A Want is what a waiter waits for. With Done it is the end of the job, else
// any revision other than After. A job that is not there fulfils both.
type Want struct {
	ID    job.ID
	After int64
	Done  bool
}

// A Hub wakes waiters. Its zero value is not ready for use: call New.
type Hub struct {
	reader Reader
	log    *slog.Logger
	seed   maphash.Seed
	looks  atomic.Uint64 // counts look-ups; orders them with registrations
	shards [shards]shard
	failed atomic.Bool // the last fallback failed: said once
}

// A shard guards the waiters of its part of the jobs.
type shard struct {
	mu      sync.Mutex
	waiting map[job.ID]*entry
}

// An entry is one Want of one waiter, in the list of those with the same job.
// Its shard guards it.
type entry struct {
	want       Want
	since      uint64       // look-ups up to this one began before the entry was there
	woken      chan job.Rev // a Wait's
	watcher    *Watcher     // or a Watcher's
	prev, next *entry
}

// wake tells the waiter of a revision.
func (e *entry) wake(r job.Rev) {
	if e.watcher != nil {
		e.watcher.mark(r.ID)
		return
	}
	select {
	case e.woken <- r:
	default: // already woken
	}
}

// New returns a hub over these records. Waiters are woken while Run runs.
func New(reader Reader, log *slog.Logger) *Hub {
	h := &Hub{reader: reader, log: log, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].waiting = map[job.ID]*entry{}
	}
	return h
}

// Wait returns as soon as at least one want is fulfilled: those that are, in
// the order of wants. It returns none and no error when ctx ends first: the end
// of patience is an answer. An error means that the first look failed.
//
// It keeps its frames small: the stack is what a parked request holds most of, beside
// the buffers of its connection.
func (h *Hub) Wait(ctx context.Context, wants ...Want) ([]job.Rev, error) {
	woken := make(chan job.Rev, 1) // one is enough: the look tells the rest
	entries := h.enter(woken, wants)
	defer h.leave(entries)
	moved, err := h.Look(ctx, wants...)
	if err != nil && ctx.Err() != nil {
		return nil, nil
	}
	if err != nil || len(moved) > 0 {
		return moved, err
	}
	rev := asleep(ctx, woken)
	if rev.ID == "" || len(wants) == 1 {
		return only(rev), nil
	}
	if moved, err = h.Look(ctx, wants...); err != nil || len(moved) == 0 {
		return only(rev), nil // this much is sure
	}
	return moved, nil
}

// asleep returns what a waiter was woken by; zero when ctx ends first.
//
//go:noinline
func asleep(ctx context.Context, woken <-chan job.Rev) (rev job.Rev) {
	select {
	case <-ctx.Done():
	case rev = <-woken:
	}
	return rev
}

func only(rev job.Rev) []job.Rev {
	if rev.ID == "" {
		return nil
	}
	return []job.Rev{rev}
}

func (h *Hub) enter(woken chan job.Rev, wants []Want) []entry {
	entries := make([]entry, len(wants))
	for i, w := range wants {
		entries[i] = entry{want: w, woken: woken}
		h.register(&entries[i])
	}
	return entries
}

func (h *Hub) leave(entries []entry) {
	for i := range entries {
		h.unregister(&entries[i])
	}
}

// Look returns those wants that are fulfilled now. It asks in a query of its own
// and never joins one that is under way: that one may have read the record
// before the waiter was there.
func (h *Hub) Look(ctx context.Context, wants ...Want) ([]job.Rev, error) {
	ids := make([]job.ID, len(wants))
	for i, w := range wants {
		ids[i] = w.ID
	}
	revs, err := h.reader.Revs(ctx, ids)
	if err != nil {
		return nil, err
	}
	moved := revs[:0]
	for i, r := range revs {
		if fulfilled(wants[i], r) {
			moved = append(moved, r)
		}
	}
	return moved, nil
}

func fulfilled(w Want, r job.Rev) bool {
	if r.Missing {
		return true
	}
	if w.Done {
		return r.Done
	}
	return r.Rev != w.After
}

func (h *Hub) shard(id job.ID) *shard {
	return &h.shards[maphash.String(h.seed, string(id))%shards]
}

func (h *Hub) register(e *entry) {
	s := h.shard(e.want.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.since = h.looks.Load()
	if first := s.waiting[e.want.ID]; first != nil {
		e.next, first.prev = first, e
	}
	s.waiting[e.want.ID] = e
}

func (h *Hub) unregister(e *entry) {
	s := h.shard(e.want.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.next != nil {
		e.next.prev = e.prev
	}
	switch {
	case e.prev != nil:
		e.prev.next = e.next
	case e.next != nil:
		s.waiting[e.want.ID] = e.next
	default:
		delete(s.waiting, e.want.ID)
	}
}

// event wakes those whose want a published change fulfils. Messages may arrive
// late, so a revision that a waiter has seen already moves nothing.
func (h *Hub) event(r job.Rev) {
	h.wake(r, func(e *entry) bool {
		return fulfilled(e.want, r) && (e.want.Done || r.Missing || r.Rev > e.want.After)
	})
}

func (h *Hub) wake(r job.Rev, concerns func(*entry) bool) {
	s := h.shard(r.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.waiting[r.ID]; e != nil; e = e.next {
		if concerns(e) {
			e.wake(r)
		}
	}
}

// Run listens and looks until ctx ends, or listening fails for good. It
// returns when both have ended.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	reset := make(chan struct{}, 1)
	var looking sync.WaitGroup
	looking.Go(func() { h.fallback(ctx, reset) })
	err := h.reader.Listen(ctx, h.event, func() {
		select {
		case reset <- struct{}{}:
		default: // one is due already
		}
	})
	stopped := ctx.Err() != nil
	cancel()
	looking.Wait()
	if stopped {
		return nil
	}
	return err
}

// fallback looks all waiting jobs up again and again.
func (h *Hub) fallback(ctx context.Context, reset <-chan struct{}) {
	next := time.NewTimer(Fallback)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reset:
			if !sleep(ctx, rand.N(spread)) {
				return
			}
		case <-next.C:
		}
		next.Reset(Fallback) // from begin to begin
		h.lookAll(ctx)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// lookAll looks every waiting job up, and wakes those who waited already when
// the look of their job began.
func (h *Hub) lookAll(ctx context.Context) {
	ids := make([]job.ID, 0, batch)
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for id := range s.waiting {
			ids = append(ids, id)
		}
		s.mu.Unlock()
	}
	for len(ids) > 0 && ctx.Err() == nil {
		n := min(batch, len(ids))
		if err := h.lookBatch(ctx, ids[:n]); err != nil {
			if ctx.Err() == nil && !h.failed.Swap(true) {
				h.log.WarnContext(ctx, "waiting jobs can't be looked up", "error", err)
			}
			return // the next round tries again
		}
		ids = ids[n:]
	}
	if ctx.Err() == nil && h.failed.Swap(false) {
		h.log.InfoContext(ctx, "waiting jobs are looked up again")
	}
}

func (h *Hub) lookBatch(ctx context.Context, ids []job.ID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, errors.New("look-up of waiting jobs took too long"))
	defer cancel()
	look := h.looks.Add(1)
	revs, err := h.reader.Revs(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range revs {
		// A watcher that still has an ended job has missed the end, however the
		// revisions look.
		h.wake(r, func(e *entry) bool {
			return e.since < look && (fulfilled(e.want, r) || e.watcher != nil && r.Done)
		})
	}
	return nil
}
