package worker

import (
	"context"
	"sync/atomic"
	"time"

	"longshore/internal/loop"
	"longshore/internal/scaling"
	"longshore/job"
)

// spent counts the slots' time that jobs of a lane have cost, and those that ended.
type spent struct {
	ended atomic.Int64 // ns of runs that have ended
	jobs  atomic.Int64

	toldTime time.Duration // only tell touches these
	toldJobs int64
}

// ended counts a run that has ended.
func (a *attempt) spent(took time.Duration) {
	a.worker.ended.Add(1)
	if s := a.worker.costs[a.lane]; s != nil {
		s.ended.Add(int64(took))
		s.jobs.Add(1)
	}
}

// tellCosts tells autoscaling what jobs cost, until ctx ends.
func (w *worker) tellCosts(ctx context.Context) {
	store := scaling.NewStore(w.sys.Redis, w.sys.Prefix)
	_ = loop.Background(ctx, w.log, scaling.Every, "tell what jobs cost", func(ctx context.Context) error {
		return w.tell(ctx, store)
	})
}

func (w *worker) tell(ctx context.Context, store *scaling.Store) error {
	now, running := time.Now(), map[job.Lane]time.Duration{}
	w.running.Range(func(a, _ any) bool {
		running[a.(*attempt).lane] += now.Sub(a.(*attempt).began)
		return true
	})
	var news []scaling.Spent
	for lane, s := range w.costs {
		// A run that ends between the two looks is counted at the next one.
		all, jobs := time.Duration(s.ended.Load())+running[lane], s.jobs.Load()
		if all > s.toldTime || jobs > s.toldJobs {
			news = append(news, scaling.Spent{Lane: lane, Time: max(0, all-s.toldTime),
				Jobs: jobs - s.toldJobs})
		}
		s.toldTime, s.toldJobs = max(all, s.toldTime), jobs
	}
	if len(news) == 0 {
		return nil
	}
	return store.Spend(ctx, news)
}
