package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"longshore/answer"
	"longshore/internal/loop"
	"longshore/internal/memory"
)

// ErrRecycle says that the worker has had as much memory, or as many jobs, as Config allows: it has
// finished or given back what it ran, and wants to be started anew.
var ErrRecycle = errors.New("the worker is to be started anew: it has grown, or has run many jobs")

// The times of recycling.
const (
	recycleLook = 2 * time.Second
	// youngRSS is the age up to which no worker is recycled for its memory, and youngJobs for its jobs:
	// what a process needs it needs again, and one that only starts does no work.
	youngRSS  = 10 * time.Minute
	youngJobs = 10 * time.Second
	// settled is the age at which the memory is taken for what the worker needs. A limit below enough
	// times that would have it start for ever.
	settled         = time.Minute
	enough          = 1.25
	recyclePatience = 10 * time.Minute
)

// A recycler decides when its worker is to be started anew.
type recycler struct {
	maxRSS, maxJobs int64 // 0 = as many as it likes
	useless         bool  // maxRSS is too small
	looked          bool  // at what the worker needs
}

// newRecycler spreads the limits by a tenth, so that workers which started together don't end together.
func newRecycler(c Config) *recycler {
	spread := func(n int64) int64 { return n - n/10 + rand.N(n/5+1) }
	r := &recycler{}
	if c.MaxRSS > 0 {
		r.maxRSS = spread(c.MaxRSS)
	}
	if c.MaxJobs > 0 {
		r.maxJobs = max(1, spread(int64(c.MaxJobs)))
	}
	return r
}

// due says why the worker is to be recycled; "" = it is not.
func (r *recycler) due(age time.Duration, rss, jobs int64) string {
	if !r.looked && age >= settled && r.maxRSS > 0 && rss > 0 {
		r.looked, r.useless = true, float64(r.maxRSS) < enough*float64(rss)
	}
	switch {
	case r.maxJobs > 0 && jobs >= r.maxJobs && age >= youngJobs:
		return fmt.Sprintf("it has run %d jobs", jobs)
	case r.maxRSS > 0 && !r.useless && rss > r.maxRSS && age >= youngRSS:
		return fmt.Sprintf("it has %d MiB of memory, over %d MiB", rss>>20, r.maxRSS>>20)
	}
	return ""
}

// watchMemory looks at this process's memory until ctx ends.
func (w *worker) watchMemory(ctx context.Context) {
	_ = w.memory.Run(ctx) // it ends by ctx alone
}

func (w *worker) newMemory() *memory.Watch {
	return memory.New(memory.Config{Limit: w.config.MemoryAlarm,
		Load: func() int64 { return int64(w.busy("")) },
		Raise: func(ctx context.Context, a memory.Alarm, p memory.Profile) {
			host, _ := os.Hostname() // "" says as much
			w.sys.Desk.Alarmed(ctx, answer.Profile{Program: "worker", Host: host, PID: os.Getpid(),
				Worker: w.sys.Store.WorkerID()}, a, p)
		}})
}

// recycleWhenDue ends Run with ErrRecycle once the worker has had enough.
func (w *worker) recycleWhenDue(ctx context.Context) {
	r := newRecycler(w.config)
	if r.maxRSS == 0 && r.maxJobs == 0 {
		return
	}
	start, warned := time.Now(), false
	for loop.Sleep(ctx, recycleLook) == nil {
		why := r.due(time.Since(start), memory.Resident(), w.ended.Load())
		if r.useless && !warned {
			warned = true
			w.log.WarnContext(ctx, "WORKER_MAX_RSS is too small for this worker, and isn't used",
				"has", memory.Resident(), "limit", r.maxRSS)
		}
		if why == "" || w.server.IsQuiet() { // an operator's word outlives no start
			continue
		}
		// However large it is: all at once would leave nobody who takes jobs.
		if mine, err := w.sys.Desk.MayRecycle(ctx, w.sys.Store.WorkerID()); err != nil || !mine {
			continue
		}
		if w.recycle(ctx, why) {
			return
		}
	}
}

// recycle finishes what runs, and ends Run, which it tells. Jobs have all of their time: cut off, one that
// takes longer than the workers live would never end.
func (w *worker) recycle(ctx context.Context, why string) bool {
	w.recycling.Store(&why)
	w.log.WarnContext(ctx, "worker finishes what it runs, to be started anew", "why", why)
	w.server.Quiet(true)
	w.look() // all are told
	asked := time.Now()
	for end := w.lastDeadline(asked.Add(recyclePatience)); w.busy("") > 0 && time.Now().Before(end); {
		if loop.Sleep(ctx, recycleLook/10) != nil {
			return true
		}
		if time.Since(asked) > time.Minute { // the turn is kept
			asked = time.Now()
			_, _ = w.sys.Desk.MayRecycle(ctx, w.sys.Store.WorkerID()) // without it two recycle at once
		}
	}
	if w.held.Load() { // an operator has said drain meanwhile: started anew it would take jobs
		w.recycling.Store(nil)
		_ = w.sys.Desk.LetRecycle(ctx, w.sys.Store.WorkerID()) // else the others wait some minutes
		return false
	}
	w.restart(ErrRecycle)
	return true
}

// lastDeadline is until when the jobs that run may take, or end if that is later.
func (w *worker) lastDeadline(end time.Time) time.Time {
	w.running.Range(func(key, _ any) bool {
		a := key.(*attempt)
		if over := a.began.Add(a.started.Timeout); over.After(end) {
			end = over
		}
		return true
	})
	return end
}

// recycles says why the worker is to be started anew; "" = it is not.
func (w *worker) recycles() string {
	if why := w.recycling.Load(); why != nil {
		return *why
	}
	return ""
}
