package jobstore

import (
	"context"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// change has a job wait otherwise: for another time, or in another queue. It is noted until when it may not
// start from now on.
func (s *sim) change(p *proc, j *simJob) {
	c := Change{Labels: &job.Labels{"n": "1"}}
	at := time.UnixMilli(s.mono + s.skew + s.rng.Int64N(20_000))
	switch s.rng.IntN(4) {
	case 0:
		at = time.UnixMilli(0)
		c.RunAt = &at
	case 1:
		c.RunAt = &at
	case 2:
		c.RunAt = &at
		fallthrough
	default:
		c.Priority = job.Priorities[s.rng.IntN(len(job.Priorities))]
	}
	s.rpc(p, func(ctx context.Context) error {
		s.observe(j)
		_, err := s.store.Views().Change(ctx, access.Everything, j.id, c, nil, "sim")
		if m, gone := s.moving(j.id); err == nil && gone == nil && c.RunAt != nil {
			if j.notBefore = 0; m.runAt == at.UnixMilli() && !m.state.Terminal() {
				j.notBefore = m.runAt
			}
		}
		if err == nil {
			s.changed++
		}
		s.say("%s changed: %+v %v", j.id[30:], c, err)
		s.observe(j)
		return err
	}, func(error) {})
}
