package program

import (
	"context"

	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/loop"
	"longshore/internal/overview"
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
	s := scaling.Sample{Lanes: map[job.Lane]*scaling.Lane{}}
	for _, lane := range job.Lanes {
		s.Lanes[lane] = &scaling.Lane{}
	}
	for _, q := range o.Queues {
		s.At = q.At
		l := s.Lanes[q.Lane]
		l.Busy += q.Active
		if q.Paused {
			continue
		}
		for _, p := range q.Parked {
			if o.Paused[p.Type] {
				q.Pending -= p.Pending
			}
		}
		if q.Priority == job.Low {
			l.Low += q.Pending
		} else {
			l.Waiting += q.Pending
			l.Oldest = max(l.Oldest, q.Latency.Milliseconds()) // low ones may wait
		}
	}
	for _, w := range o.Workers {
		for lane, n := range w.Slots {
			if l := s.Lanes[lane]; l != nil && n > 0 && !w.Draining {
				l.Slots += int64(n)
				l.Workers++
			}
		}
	}
	return s
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
