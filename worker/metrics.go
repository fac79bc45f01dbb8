package worker

import (
	"context"
	"sync"
	"time"

	"longshore/internal/jobstore"
	"longshore/internal/metrics"
	"longshore/internal/operate"
	"longshore/internal/redisdb"
	"longshore/job"
)

// measure has a set of metrics of this worker, if Config asks for it.
func (w *worker) measure() {
	if w.config.MetricsAddr == "" {
		return
	}
	set := metrics.NewProcess()
	w.metrics, w.counts = set, set.Jobs()
	set.Memory(w.memory)
	set.Gauge("longshore_worker_recycling", "1 while this worker finishes what it runs, to start itself anew.",
		func() float64 {
			if w.recycles() != "" {
				return 1
			}
			return 0
		})
	if t := w.sys.Traces; t != nil {
		set.Spans(t.Sent, t.Dropped)
	}
	redisdb.Observe(w.sys.Redis, set.Calls("redis", "Redis").Done)
	for lane, n := range w.config.slots() {
		set.Gauge("longshore_worker_slots", "Jobs that this worker can run at once.",
			func() float64 { return float64(n) }, "lane", string(lane))
		set.Gauge("longshore_worker_running", "Jobs that this worker runs now.",
			func() float64 { return float64(w.busy(lane)) }, "lane", string(lane))
	}
	set.Gauge("longshore_worker_left_behind", "Handlers that go on though their context has ended.",
		func() float64 { return float64(w.left.Load()) })
}

// serveMetrics answers who asks for them until ctx ends.
func (w *worker) serveMetrics(ctx context.Context) {
	if w.metrics != nil {
		w.metrics.Serve(ctx, w.config.MetricsAddr, w.log)
	}
}

// busy is how many jobs of a lane run; of all where it is "".
func (w *worker) busy(lane job.Lane) int {
	n := 0
	w.running.Range(func(a, _ any) bool {
		if lane == "" || a.(*attempt).lane == lane {
			n++
		}
		return true
	})
	return n
}

// counted counts an attempt of which the record knows the end.
func (a *attempt) counted(state job.State, end jobstore.End) {
	a.worker.took.add(a.started.Type, time.Duration(end.Usage.WallMS)*time.Millisecond)
	a.worker.counts.Ended(a.started.Type, state, end.Code, time.Duration(end.Usage.WallMS)*time.Millisecond)
}

// A runTimes counts how long runs took, till the next beat.
type runTimes struct {
	mu   sync.Mutex
	runs operate.Runs
}

func (r *runTimes) add(kind string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = operate.Runs{}
	}
	if r.runs[kind] == nil {
		r.runs[kind] = new([operate.RunBuckets]uint32)
	}
	r.runs[kind][operate.RunBucket(took)]++
}

func (r *runTimes) take() operate.Runs {
	r.mu.Lock()
	defer r.mu.Unlock()
	runs := r.runs
	r.runs = nil
	return runs
}
