// Package overview tells what waits in the queues, who is there to take it, and what
// a job waits for.
package overview

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/queue"
	"longshore/job"
)

// An Overview is what waits and who is there to take it, at one moment.
type Overview struct {
	Queues  []queue.Info
	Workers []queue.WorkerInfo
	// Claimers are programs that claim jobs over HTTP.
	Claimers []queue.WorkerInfo
	// Types are those of the oldest jobs that wait, by queue as in Queues.
	Types []map[string]bool
	// Paused are the fields of pauses that hold, as httpapi.PausedType and httpapi.PausedQueue name them.
	Paused map[string]bool
}

// TypePaused tells that no job of a type may be started.
func (o Overview) TypePaused(typ string) bool { return o.Paused[httpapi.PausedType(typ)] }

// Look reads the queues and the workers. The age of a queue is that of its
// jobs: one that a deploy gave back has a new ticket, and is no younger.
func Look(ctx context.Context, tickets *queue.Queue, store *jobstore.Store) (o Overview, err error) {
	if o.Queues, err = tickets.Queues(ctx); err != nil {
		return o, err
	}
	if o.Workers, err = tickets.Workers(ctx); err != nil {
		return o, err
	}
	if o.Claimers, err = tickets.Claimers(ctx); err != nil {
		return o, err
	}
	var ids []job.ID
	for _, q := range o.Queues {
		for _, w := range q.Oldest {
			ids = append(ids, w.ID)
		}
	}
	waits, err := store.Waits(ctx, ids)
	if err != nil {
		return o, err
	}
	running, err := store.RunningIn(ctx)
	if err != nil {
		return o, err
	}
	o.Types = make([]map[string]bool, len(o.Queues))
	for i := range o.Queues {
		q := &o.Queues[i]
		o.Types[i] = map[string]bool{}
		for _, p := range q.Parked {
			o.Types[i][p.Type] = true
		}
		q.Active = running[q.Place]
		for range q.Oldest {
			if waits[0].Type != "" {
				o.Types[i][waits[0].Type] = true
				q.Latency = max(q.Latency, q.At.Sub(waits[0].Since))
			}
			waits = waits[1:]
		}
	}
	return o, nil
}

// Served reports whether a worker that is alive takes jobs of a type from a place.
func (o Overview) Served(typ string, at job.Place) bool {
	those := o.Workers
	if at.Lane == job.LaneClaim {
		those = o.Claimers
	}
	return slices.ContainsFunc(those, func(w queue.WorkerInfo) bool { return w.Serves(typ, at) })
}

// Unserved lists the types with jobs that wait, as far as is seen, and nobody to take them. Each has the
// place of one that waits. Those that wait in a queue that nobody serves at all are NoQueue's.
func (o Overview) Unserved() map[string]job.Place {
	types := map[string]job.Place{}
	for i, q := range o.Queues {
		for typ := range o.Types[i] {
			if !o.Served(typ, q.Place) && (q.Lane == job.LaneClaim || o.queueServed(q.Queue)) {
				types[typ] = q.Place
			}
		}
	}
	return types
}

// NoQueue lists the queues in which jobs wait and that no worker serves, with how many wait there.
func (o Overview) NoQueue() map[string]int64 {
	queues := map[string]int64{}
	for _, q := range o.Queues {
		if q.Pending > 0 && q.Lane != job.LaneClaim && !o.queueServed(q.Queue) {
			queues[job.QueueOf(q.Queue)] += q.Pending
		}
	}
	return queues
}

// queueServed tells that some worker serves a queue, or that there is none at all, which is said of types.
func (o Overview) queueServed(name string) bool {
	return len(o.Workers) == 0 ||
		slices.ContainsFunc(o.Workers, func(w queue.WorkerInfo) bool { return w.ServesQueue(name) })
}

// WaitingFor says what a job waits for, "" for one that doesn't.
func (o Overview) WaitingFor(snap *job.Snapshot) job.Waiting {
	switch snap.State {
	case job.Scheduled, job.Retrying:
		return job.WaitingTime
	case job.Awaiting:
		if snap.Held() {
			return job.WaitingRelease
		}
		return job.WaitingJobs
	case job.Queued:
		if snap.Limit != "" {
			return job.WaitingLimit
		}
	default:
		return ""
	}
	paused := func(q queue.Info) bool {
		return q.Paused && q.Place == snap.Place()
	}
	switch {
	case slices.ContainsFunc(o.Queues, paused), o.TypePaused(snap.Type),
		o.Paused[httpapi.PausedQueue(snap.Queue)]:
		return job.WaitingPaused
	case !o.Served(snap.Type, snap.Place()):
		return job.WaitingWorker
	default:
		return job.WaitingSlots
	}
}

// A Watch is an Overview that is kept: WaitingFor costs no call. Run keeps it.
type Watch struct {
	tickets *queue.Queue
	paused  func(context.Context) (map[string]bool, error)
	log     *slog.Logger
	last    atomic.Pointer[seen]
}

type seen struct {
	Overview
	at time.Time
}

const (
	watchEvery = 2 * time.Second
	// staleAfter is when a Watch that could not look says nothing any more.
	staleAfter = 15 * time.Second
)

// NewWatch returns a Watch that has looked once, if it could. paused tells what is, as Overview.Paused.
func NewWatch(ctx context.Context, tickets *queue.Queue,
	paused func(context.Context) (map[string]bool, error), log *slog.Logger) *Watch {
	w := &Watch{tickets: tickets, paused: paused, log: log}
	_ = w.look(ctx) // Run says so
	return w
}

// Run looks again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	return loop.Background(ctx, w.log, watchEvery, "look at queues and workers", w.look)
}

func (w *Watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	at := time.Now()
	queues, err1 := w.tickets.Paused(ctx)
	workers, err2 := w.tickets.Workers(ctx)
	claimers, err3 := w.tickets.Claimers(ctx)
	held, err4 := w.paused(ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	w.last.Store(&seen{Overview{Queues: queues, Workers: workers, Claimers: claimers, Paused: held}, at})
	return nil
}

// WaitingFor is Overview.WaitingFor as it was some seconds ago. What depends on
// others is not told while Redis is out of reach.
func (w *Watch) WaitingFor(snap *job.Snapshot) job.Waiting {
	last := w.last.Load()
	if last == nil || time.Since(last.at) > staleAfter {
		if snap.State == job.Queued {
			return ""
		}
		last = &seen{}
	}
	return last.WaitingFor(snap)
}

// Waiting is how many jobs of a type are known to wait, 1 at least.
func (o Overview) Waiting(typ string) int64 {
	var n int64
	for _, q := range o.Queues {
		for _, p := range q.Parked {
			if p.Type == typ {
				n += p.Pending
			}
		}
	}
	return cmp.Or(n, 1)
}
