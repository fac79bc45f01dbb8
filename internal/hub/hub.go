// Package hub lets any number of requests wait for jobs at the cost of one
// subscription a process. A waiter is a few hundred bytes beside its own
// goroutine: it registers, has its jobs looked up, and waits; no change in between
// is missed. Wait does so once, for a long-poll; a Watcher stays, for a stream of
// events.
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
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"longshore/internal/access"
	"longshore/internal/loop"
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

	// restTimeout bounds the look of a waiter for many jobs that is woken by one.
	restTimeout = 500 * time.Millisecond

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
	By    *access.View // whose jobs are there for who waits; nil: he looks himself
}

// A Hub wakes waiters. Its zero value is not ready for use: call New.
type Hub struct {
	reader Reader
	log    *slog.Logger
	seed   maphash.Seed
	looks  atomic.Uint64 // counts look-ups; orders them with registrations
	shards [shards]shard
	failed atomic.Bool // the last fallback failed: said once

	released atomic.Bool // nobody waits any more

	asking  sync.Mutex
	asked   []job.ID // those of new waiters, to be looked up
	looking bool     // a goroutine does
}

// A shard guards the waiters of its part of the jobs.
type shard struct {
	mu      sync.Mutex
	waiting map[job.ID]*entry
}

// An entry is one Want of one waiter, in the list of those with the same job.
// Its shard guards it, but for the mark. There may be hundreds of thousands: what it
// takes is what a subscription costs.
type entry struct {
	want       Want
	since      uint64        // look-ups up to this one began before the entry was there
	looked     bool          // one has answered since
	marked     bool          // its watcher is to look; the watcher guards it
	woken      chan *outcome // a Wait's
	watcher    *Watcher      // or a Watcher's
	prev, next *entry
}

// An outcome ends a Wait: the revision of a job that moved, or the error of the
// first look. nil is the end of patience.
type outcome struct {
	rev job.Rev
	err error
}

// wake tells the waiter of a revision.
func (e *entry) wake(r job.Rev) {
	if e.watcher != nil {
		e.watcher.mark(e)
	} else {
		tell(e.woken, &outcome{rev: r})
	}
}

func tell(woken chan<- *outcome, o *outcome) {
	select {
	case woken <- o:
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
// the order of wants. It returns none and no error when patience is over, ctx
// ends, who waits (nil = somebody) is nobody any more, or the hub is released first: all of
// these are answers. An error means
// that the first look failed.
//
// A waiter parks once, at one channel, and others speak on it: the stack is what a
// parked request holds most of, beside the buffers of its connection, and a select
// of two takes it from 4 to 8 KiB, as frames do that could have ended before.
func (h *Hub) Wait(ctx context.Context, by *access.Principal, patience time.Duration,
	wants ...Want) ([]job.Rev, error) {
	w := h.enter(wants)
	w.arm(ctx, by, patience)
	if h.released.Load() {
		w.end()
	}
	h.ask(wants)
	o := <-w.woken
	h.leave(w)
	return h.answer(ctx, o, wants)
}

// answer is what a wait brought, by the outcome that ended it.
func (h *Hub) answer(ctx context.Context, o *outcome, wants []Want) ([]job.Rev, error) {
	switch {
	case o == nil:
		return nil, nil
	case o.err != nil:
		return nil, o.err
	case len(wants) > 1:
		return h.rest(ctx, o.rev, wants), nil
	}
	return []job.Rev{o.rev}, nil
}

// Release ends all waits at once, and those to come. Watchers go on.
func (h *Hub) Release() {
	h.released.Store(true)
	for i := range h.shards {
		h.shards[i].release()
	}
}

func (s *shard) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.waiting {
		for ; e != nil; e = e.next {
			if e.watcher == nil {
				tell(e.woken, nil)
			}
		}
	}
}

// rest returns all of many wants that are fulfilled, one of which is by this revision.
func (h *Hub) rest(ctx context.Context, rev job.Rev, wants []Want) []job.Rev {
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	moved, err := h.Look(ctx, wants...)
	if err != nil || len(moved) == 0 {
		return []job.Rev{rev} // this much is sure
	}
	return moved
}

// A waiter is one Wait, and what may end it.
type waiter struct {
	woken   chan *outcome // one is enough: the look tells the rest
	entries []entry
	over    *time.Timer
	stay    func() bool // ends the watch of the context
	held    access.Held // ends it with who waits
}

// enter has a wait's jobs watched.
func (h *Hub) enter(wants []Want) *waiter {
	w := &waiter{woken: make(chan *outcome, 1), entries: make([]entry, len(wants))}
	for i, want := range wants {
		w.entries[i] = entry{want: want, woken: w.woken}
		h.register(&w.entries[i])
	}
	return w
}

// arm has the wait end with its time, its context, and who waits.
func (w *waiter) arm(ctx context.Context, by *access.Principal, patience time.Duration) {
	w.over, w.stay = time.AfterFunc(patience, w.end), context.AfterFunc(ctx, w.end)
	by.Hold(&w.held, func(error) { w.end() })
}

func (w *waiter) end() { tell(w.woken, nil) }

func (h *Hub) leave(w *waiter) {
	w.over.Stop()
	w.stay()
	w.held.Let()
	for i := range w.entries {
		h.unregister(&w.entries[i])
	}
}

// ask has the jobs of a waiter that has entered looked up, by a goroutine that
// is there while there are such: while its query is under way others gather, and
// the next one takes them along. A lone waiter is not delayed.
func (h *Hub) ask(wants []Want) {
	h.asking.Lock()
	defer h.asking.Unlock()
	for _, w := range wants {
		h.asked = append(h.asked, w.ID)
	}
	if !h.looking {
		h.looking = true
		go h.lookAsked()
	}
}

func (h *Hub) lookAsked() {
	var ids []job.ID
	for {
		h.asking.Lock()
		n := min(len(h.asked), batch)
		if n == 0 {
			h.looking = false
			h.asking.Unlock()
			return
		}
		ids = append(ids[:0], h.asked[:n]...)
		h.asked = slices.Delete(h.asked, 0, n)
		h.asking.Unlock()
		if look, err := h.lookBatch(context.Background(), ids); err != nil {
			h.fail(ids, look, err)
		}
	}
}

// fail tells those whose first look this was that it failed.
func (h *Hub) fail(ids []job.ID, look uint64, err error) {
	for _, id := range ids {
		h.each(id, func(e *entry) {
			if e.watcher == nil && !e.looked && e.since < look {
				tell(e.woken, &outcome{err: err})
			}
		})
	}
}

// Look returns those wants that are fulfilled now.
func (h *Hub) Look(ctx context.Context, wants ...Want) ([]job.Rev, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
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
		if r = wants[i].seen(r); fulfilled(wants[i], r) {
			moved = append(moved, r)
		}
	}
	return moved, nil
}

// seen is what a look has found, as who waits may know it: another's job is not there. What is published
// doesn't say whose it is; a wait for what isn't there has ended by then.
func (w *Want) seen(r job.Rev) job.Rev {
	if w.By != nil && !r.Missing && !w.By.Sees(r.Tenant, r.Owner) {
		return job.Rev{ID: r.ID, Missing: true}
	}
	return r
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
		e.want.ID = first.want.ID // the same text, kept once
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
	h.each(r.ID, func(e *entry) {
		if fulfilled(e.want, r) && (e.want.Done || r.Missing || r.Rev > e.want.After) {
			e.wake(r)
		}
	})
}

// each calls f for each entry of a job, under the lock of its shard.
func (h *Hub) each(id job.ID, f func(*entry)) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.waiting[id]; e != nil; e = e.next {
		f(e)
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
			if loop.Sleep(ctx, rand.N(spread)) != nil {
				return
			}
		case <-next.C:
		}
		next.Reset(Fallback) // from begin to begin
		h.lookAll(ctx)
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
		if _, err := h.lookBatch(ctx, ids[:n]); err != nil {
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

// lookBatch looks jobs up and wakes those whom the look concerns. It returns the
// look's number.
func (h *Hub) lookBatch(ctx context.Context, ids []job.ID) (look uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout,
		errors.New("look-up of waiting jobs took too long"))
	defer cancel()
	look = h.looks.Add(1)
	revs, err := h.reader.Revs(ctx, ids)
	if err != nil {
		return look, err
	}
	for _, r := range revs {
		h.each(r.ID, func(e *entry) {
			if e.since >= look {
				return
			}
			e.looked = true
			r := e.want.seen(r)
			// A watcher that still has an ended job has missed the end, however the
			// revisions look.
			if fulfilled(e.want, r) || e.watcher != nil && r.Done {
				e.wake(r)
			}
		})
	}
	return look, nil
}
