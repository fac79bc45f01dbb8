package jobstore

import (
	"context"

	"longshore/job"
)

// someQueue draws the queue of a new job.
func (s *sim) someQueue() string {
	if s.queues == nil {
		return ""
	}
	return []string{"", "mail", "reports"}[s.queues.IntN(3)]
}

// somePlace draws where a worker takes: where it was to take, or from a list of another queue that it knows
// of.
func (s *sim) somePlace(at job.Place, part int) job.Place {
	if s.queues == nil {
		return at
	}
	places, err := s.store.Places(context.Background(), part)
	if err != nil {
		s.violate("places: %v", err)
		return at
	}
	named := places[len(job.PlacesOf("")):]
	if i := s.queues.IntN(len(named) + 1); i < len(named) {
		return named[i]
	}
	return at
}

// forgetQueues drops what is empty at this moment, as janitors do after a week.
func (s *sim) forgetQueues() {
	s.redis(func(ctx context.Context) {
		if err := s.store.ForgetQueues(ctx, nil, 0); err != nil {
			s.violate("forget queues: %v", err)
		}
	})
}
