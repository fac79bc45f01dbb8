package jobstore

import (
	"context"
	"slices"
	"time"

	"longshore/job"
)

// simLimits are those of the simulation: one at a time to the end, two that run, and two starts, then one
// in five seconds.
var simLimits = []Slots{{Limit: "t/order", Most: 1, ToEnd: true}, {Limit: "t/two", Most: 2},
	{Limit: "t/two", Gap: 5 * time.Second, Burst: 2}}

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
	if j.id[30]%4 > 0 { // by its id: a world stays what it was before there were rates
		classes = append(slices.Clip(classes), simLimits[2].Class("b"))
	}
	j.classes, nj.Limits = classes, classes
}

// A simStart is a start of a job with a rate, by Redis's clock.
type simStart struct {
	part int
	at   int64
}

// judgeRate holds that jobs of a class start no more often than they may, for as long as Redis's time doesn't
// jump.
func (s *sim) judgeRate(j *simJob, m record) {
	rate := simLimits[2]
	if m.state != job.Running || m.fence == j.paced || !slices.Contains(j.classes, rate.Class("b")) {
		return
	}
	j.paced = m.fence
	if s.pacedSince != s.lastJump {
		s.pacedSince, s.paced = s.lastJump, nil
	}
	s.paced = append(s.paced, simStart{s.store.part(j.id), m.started})
	n := int64(0)
	for _, one := range slices.Backward(s.paced) {
		if one.part != s.store.part(j.id) {
			continue
		}
		if n++; n > rate.Burst+(m.started-one.at)/rate.Gap.Milliseconds() {
			s.violate("%s: is the last of %d starts in %d ms", j.id, n, m.started-one.at)
			return
		}
	}
}

// judgeSlots holds that no more jobs of a class run than may. It looks at one partition, for a limit
// counts there.
func (s *sim) judgeSlots(j *simJob) {
	for _, class := range j.classes {
		if class == simLimits[2].Class("b") {
			continue // it may run as long as it likes
		}
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
