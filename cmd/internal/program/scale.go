package program

import (
	"context"
	"slices"

	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/loop"
	"longshore/internal/overview"
	"longshore/internal/queue"
	"longshore/internal/scaling"
	"longshore/job"
)

// A scaler answers autoscalers, and takes the samples that it goes by.
type scaler struct {
	sys   *connect.System
	store *scaling.Store
	rule  scaling.Rule
}

// sample is what there is now.
func (s *scaler) sample(ctx context.Context) (scaling.Sample, error) {
	o, err := s.sys.Overview(ctx)
	if err != nil {
		return scaling.Sample{}, err
	}
	sample := sampleOf(o)
	return sample, s.store.Complete(ctx, &sample)
}

// sampleOf takes what scaling goes by out of an overview.
func sampleOf(o overview.Overview) scaling.Sample {
	s := scaling.Sample{Lanes: noLanes()}
	for _, name := range queue.NamedQueues(o.Workers) {
		queueOf(&s, name)
	}
	named := len(s.Queues) > 0 || slices.ContainsFunc(o.Queues, func(q queue.Info) bool { return q.Queue != "" })
	for _, q := range o.Queues {
		s.At = q.At
		if q.Lane == job.LaneClaim {
			continue // those who claim are no workers that we start
		}
		for _, p := range q.Parked {
			if o.TypePaused(p.Type) {
				q.Pending -= p.Pending
			}
		}
		addLoad(s.Lanes[q.Lane], q)
		if named {
			addLoad(queueOf(&s, q.Queue)[q.Lane], q)
		}
	}
	for _, w := range o.Workers {
		addSlots(s.Lanes, w)
		for name, lanes := range s.Queues {
			if w.ServesQueue(job.InQueue(name)) {
				addSlots(lanes, w)
			}
		}
	}
	return s
}

func noLanes() map[job.Lane]*scaling.Lane {
	lanes := map[job.Lane]*scaling.Lane{}
	for _, lane := range job.Lanes {
		lanes[lane] = &scaling.Lane{}
	}
	return lanes
}

// queueOf is a sample's part of a queue.
func queueOf(s *scaling.Sample, name string) map[job.Lane]*scaling.Lane {
	if s.Queues == nil {
		s.Queues = map[string]map[job.Lane]*scaling.Lane{}
	}
	name = job.QueueOf(name)
	if s.Queues[name] == nil {
		s.Queues[name] = noLanes()
	}
	return s.Queues[name]
}

// addLoad adds what waits in a list of tickets, and what runs of it.
func addLoad(l *scaling.Lane, q queue.Info) {
	l.Busy += q.Active
	switch {
	case q.Paused:
	case q.Priority == job.Low:
		l.Low += q.Pending
	default:
		l.Waiting += q.Pending
		l.Oldest = max(l.Oldest, q.Latency.Milliseconds()) // low ones may wait
	}
}

func addSlots(lanes map[job.Lane]*scaling.Lane, w queue.WorkerInfo) {
	for lane, n := range w.Slots {
		if l := lanes[lane]; l != nil && n > 0 && !w.Draining {
			l.Slots += int64(n)
			l.Workers++
		}
	}
}

// Scale is what an autoscaler is told.
func (s *scaler) Scale(ctx context.Context) (httpapi.Scale, error) {
	now, err := s.sample(ctx)
	if err != nil {
		return httpapi.Scale{}, err
	}
	history, err := s.store.History(ctx)
	if err != nil {
		return httpapi.Scale{}, err
	}
	return s.rule.Scale(history, now), nil
}

// Run takes samples until ctx ends.
func (s *scaler) Run(ctx context.Context) error {
	return loop.Background(ctx, s.sys.Log, scaling.Every, "sample the load", func(ctx context.Context) error {
		now, err := s.sample(ctx)
		if err != nil {
			return err
		}
		return s.store.Note(ctx, now)
	})
}
