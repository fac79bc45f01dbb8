package jobstore

import (
	"context"

	"longshore/job"
)

// simLimits are those of the simulation: one at a time to the end, and two that run.
var simLimits = []Slots{{Limit: "t/order", Most: 1, ToEnd: true}, {Limit: "t/two", Most: 2}}

// limit puts some jobs under limits, and makes sure that the scripts know these.
func (s *sim) limit(j *simJob, nj *NewJob) {
	if s.rng.IntN(3) > 0 {
		return
	}
	if s.limited == 0 {
		_ = s.store.SetSlots(context.Background(), 1, simLimits)
	}
	s.limited++
	classes := []string{simLimits[0].Class("a"), simLimits[1].Class("b")}
	switch s.rng.IntN(3) {
	case 0:
		classes = classes[:1]
	case 1:
		classes = classes[1:]
	}
	j.classes, nj.Limits = classes, classes
}

// judgeSlots holds that no more jobs of a class run than may. It looks at one partition, for a limit
// counts there.
func (s *sim) judgeSlots(j *simJob) {
	for _, class := range j.classes {
		most, running := simLimits[0].Most, int64(0)
		if class == simLimits[1].Class("b") {
			most = simLimits[1].Most
		}
		for _, id := range s.order {
			other := s.jobs[id]
			if s.store.part(id) != s.store.part(j.id) {
				continue
			}
			for _, one := range other.classes {
				if m, err := s.moving(id); one == class && err == nil && m.state == job.Running {
					running++
				}
			}
		}
		if running > most {
			s.violate("%s: runs as one of %d of %s", j.id, running, class)
		}
	}
}
