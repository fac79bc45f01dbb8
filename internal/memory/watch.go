package memory

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// A Config of a Watch.
type Config struct {
	Limit int64        // bytes of resident memory at which there is an alarm; 0 = none
	Load  func() int64 // what keeps memory; it may be slow
	// Raise hears of an alarm, at most once an hour but for the first over the limit; its context is Run's.
	Raise func(context.Context, Alarm, Profile)
}

// A Profile is what a process holds, and where it stands, when an alarm is raised.
type Profile struct {
	Heap       []byte // as go tool pprof reads it
	Goroutines []byte // as text
}

const (
	quiet = time.Hour // after an alarm
	// dueAllocs is how many bytes were allocated since the last collection when one is due.
	dueAllocs = 4 << 20
	costly    = 256 << 20 // bytes that live, whose collection is worth one a minute, not one a look
	seldom    = time.Minute
	relieved  = 0.95 // of the limit, below which it is not exceeded any more
)

// A Watch looks at this process's memory. Make it with New.
type Watch struct {
	config Config
	read   func() numbers
	began  time.Time

	heap, other Judge
	last        numbers       // at the last look
	collected   uint64        // allocated when the last collection was found
	forced      time.Duration // when a collection was forced
	raised      time.Duration // when; 0 = never
	over        bool          // the limit
	limited     time.Duration // when an alarm said so; 0 = never

	live, rss atomic.Int64
	alarms    atomic.Int64
	mu        sync.Mutex
	current   *Alarm // nil: none, or it is an hour old
	since     time.Time
}

// New returns a watch that doesn't look yet.
func New(c Config) *Watch {
	return &Watch{config: c, read: read, began: time.Now(), heap: Judge{Kind: Heap},
		other: Judge{Kind: Other}}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		w.look(ctx, time.Since(w.began))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look takes a sample and judges it.
func (w *Watch) look(ctx context.Context, at time.Duration) {
	n := w.collect(w.read(), at)
	load := int64(0)
	if w.config.Load != nil {
		load = w.config.Load()
	}
	w.live.Store(n.live)
	w.rss.Store(n.rss)
	alarm := w.heap.Note(Sample{At: at, Bytes: n.live, Load: load})
	if n.rss > 0 {
		// What Go has it may not have touched: less than nothing is none.
		beside := w.other.Note(Sample{At: at, Bytes: max(0, n.private-n.goBytes), Load: load})
		if alarm == nil {
			alarm = beside
		}
	}
	if w.raised > 0 && at-w.raised < quiet {
		alarm = nil
	}
	if l := w.config.Limit; l > 0 {
		if !w.over && n.rss > l {
			w.over = true
			if w.limited == 0 || at-w.limited >= quiet { // one that swings about it says so once an hour
				w.limited, alarm = max(at, 1), &Alarm{Rule: Limit, Kind: RSS, Bytes: n.rss, Limit: l}
			}
		}
		w.over = w.over && float64(n.rss) > relieved*float64(l)
	}
	if alarm != nil {
		w.raise(ctx, at, *alarm)
	} else if w.raised > 0 && at-w.raised >= quiet && !w.over {
		w.mu.Lock()
		w.current = nil
		w.mu.Unlock()
	}
}

// collect has what lives found out anew where much was allocated since: a process that seldom collects
// would show a leak late.
func (w *Watch) collect(n numbers, at time.Duration) numbers {
	if n.cycles != w.last.cycles {
		w.collected = n.allocs
	}
	pause := Every
	if n.live > costly {
		pause = seldom
	}
	if n.allocs-w.collected >= dueAllocs && at-w.forced >= pause-Every/2 {
		runtime.GC()
		w.forced = at
		n = w.read()
		w.collected = n.allocs
	}
	w.last = n
	return n
}

// raise tells of an alarm.
func (w *Watch) raise(ctx context.Context, at time.Duration, a Alarm) {
	w.raised = at
	w.alarms.Add(1)
	w.mu.Lock()
	w.current, w.since = &a, time.Now()
	w.mu.Unlock()
	if w.config.Raise != nil {
		w.config.Raise(ctx, a, Take())
	}
}

// Take makes a profile of this process now.
func Take() Profile {
	var heap, goroutines bytes.Buffer
	runtime.GC() // a heap profile tells what lived at the last one
	// A Buffer takes all that is written.
	_ = pprof.Lookup("heap").WriteTo(&heap, 0)
	_ = pprof.Lookup("goroutine").WriteTo(&goroutines, 1)
	return Profile{Heap: heap.Bytes(), Goroutines: goroutines.Bytes()}
}

// Alarm is the last one and since when it is; ok is false if there is none, or it is over an hour old.
func (w *Watch) Alarm() (a Alarm, since time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil {
		return Alarm{}, time.Time{}, false
	}
	return *w.current, w.since, true
}

// Live is how much lived at the last collection that was looked at, and RSS how much memory there was then,
// in bytes.
func (w *Watch) Live() int64 { return w.live.Load() }

// RSS is likewise all that is resident; 0 where the system doesn't say.
func (w *Watch) RSS() int64 { return w.rss.Load() }

// Alarms is how many there were.
func (w *Watch) Alarms() int64 { return w.alarms.Load() }
