// Package scaling reckons how many workers an installation wants, from samples of what
// waits and what jobs cost, which are kept in Redis so that every web process gives the
// same answer. docs/deploy.md tells who asks.
package scaling

import (
	"math"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A Sample is what there is of each lane at a moment, by Redis's clock.
type Sample struct {
	At    time.Time          `json:"at"`
	Lanes map[job.Lane]*Lane `json:"lanes"`
	// Queues has the same of each queue, where there are others than the default one. Slots and Workers are
	// those that serve it.
	Queues map[string]map[job.Lane]*Lane `json:"queues,omitempty"`
}

// of is the part of a sample that is of a queue.
func (s Sample) of(queue string) Sample { return Sample{At: s.At, Lanes: s.Queues[queue]} }

// busy is a sample without queues in which nothing is: of those there may be many.
func (s Sample) busy() Sample {
	queues := map[string]map[job.Lane]*Lane{}
	for name, lanes := range s.Queues {
		for _, l := range lanes {
			if l.Waiting+l.Low+l.Busy > 0 {
				queues[name] = lanes
			}
		}
	}
	s.Queues = queues
	return s
}

// A Lane is what waits and who works.
type Lane struct {
	Waiting int64 `json:"waiting"`       // due, in queues that are not paused, of priorities high and default
	Low     int64 `json:"low,omitempty"` // of priority low
	// Oldest is how long the oldest of all of them has been due, in ms.
	Oldest  int64 `json:"oldest_ms"`
	Busy    int64 `json:"busy"`    // slots with a job
	Slots   int64 `json:"slots"`   // of workers that take any
	Workers int64 `json:"workers"` // that take any, and have slots of this lane
	// Spent and Finished are of the last minute, of all workers: slot-ms and jobs.
	Spent    int64 `json:"spent_ms"`
	Finished int64 `json:"finished"`
}

// A Rule says how many workers are wanted.
type Rule struct {
	// Target is how long a job may wait for a slot; of priority low, 30 times that.
	Target time.Duration
}

// The constants of the rule.
const (
	lowTargets = 30              // targets that a job of priority low may wait
	remember   = 5 * time.Minute // in which nothing that was needed is let go
	room       = 0.8             // of a worker's slots, that busy ones may take before workers go
	firstGuess = time.Second     // how long a job takes, before any is known
	lateness   = 2               // targets, after which what waits counts in full
)

// run is how long a job takes, in s: what was spent on all, so that long ones that have not
// ended count.
func (l *Lane) run() float64 {
	if l.Finished == 0 && l.Spent == 0 {
		return firstGuess.Seconds()
	}
	return float64(l.Spent) / 1000 / float64(max(1, l.Finished))
}

// need is how many slots would have all that waits run within its target.
func (r Rule) need(l *Lane) float64 {
	s, target := l.run(), r.Target.Seconds()
	need := float64(l.Busy) + float64(l.Waiting)*min(1, s/target) +
		float64(l.Low)*min(1, s/(lowTargets*target))
	if float64(l.Oldest)/1000 > lateness*target {
		need = max(need, min(float64(l.Busy+l.Waiting+l.Low), 2*float64(l.Slots)))
	}
	return need
}

// Wanted is how many workers a lane wants now. history has the samples before, the
// oldest first; each is worker how many slots a worker has.
func (r Rule) Wanted(history []Sample, now Sample, lane job.Lane) int {
	l := now.Lanes[lane]
	if l == nil {
		return 0
	}
	each := slotsOfOne(history, now, lane)
	up := workers(r.need(l), each)
	have := int(l.Workers)
	if up >= have {
		return up
	}
	// Fewer: only what nothing within five minutes would have needed.
	if len(history) == 0 || now.At.Sub(history[0].At) < remember-sampleEvery {
		return have
	}
	keep := workers(max(r.need(l), float64(l.Busy)/room), each)
	for _, s := range history {
		was := s.Lanes[lane]
		if was != nil && now.At.Sub(s.At) <= remember {
			keep = max(keep, workers(max(r.need(was), float64(was.Busy)/room), each))
		}
	}
	return min(keep, have)
}

func workers(slots, each float64) int { return int(math.Ceil(slots/each - 1e-9)) }

// slotsOfOne is how many slots of a lane a worker has: as those that take jobs, else as
// the last that did, else one, until the first has told.
func slotsOfOne(history []Sample, now Sample, lane job.Lane) float64 {
	for i := len(history); i >= 0; i-- {
		s := now
		if i < len(history) {
			s = history[i]
		}
		if l := s.Lanes[lane]; l != nil && l.Workers > 0 && l.Slots > 0 {
			return float64(l.Slots) / float64(l.Workers)
		}
	}
	return 1
}

// Scale reckons with the samples before this one.
func (r Rule) Scale(history []Sample, now Sample) httpapi.Scale {
	s := r.scale(history, now)
	if len(now.Queues) == 0 {
		return s
	}
	s.Queues = map[string]httpapi.LaneScale{}
	before := make([]Sample, len(history))
	for name := range now.Queues {
		for i := range history {
			before[i] = history[i].of(name)
		}
		s.Queues[name] = r.scale(before, now.of(name)).All
	}
	return s
}

func (r Rule) scale(history []Sample, now Sample) httpapi.Scale {
	s := httpapi.Scale{Lanes: map[job.Lane]httpapi.LaneScale{}}
	for lane, l := range now.Lanes {
		is := httpapi.LaneScale{Waiting: l.Waiting + l.Low, AgeMS: l.Oldest, Busy: l.Busy, Slots: l.Slots,
			RunMS: int64(l.run() * 1000), Wanted: r.Wanted(history, now, lane)}
		s.Lanes[lane] = is
		s.All.Waiting += is.Waiting
		s.All.Busy += is.Busy
		s.All.Slots += is.Slots
		s.All.AgeMS = max(s.All.AgeMS, is.AgeMS)
		s.All.RunMS = max(s.All.RunMS, is.RunMS)
		s.All.Wanted = max(s.All.Wanted, is.Wanted)
	}
	return s
}
