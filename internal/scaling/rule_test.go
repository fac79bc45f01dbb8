package scaling

import (
	"fmt"
	"testing"
	"time"

	"longshore/job"
)

var rule = Rule{Target: 10 * time.Second}

// at is a moment, so many seconds after another.
func at(seconds int) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds) * time.Second)
}

func one(seconds int, l Lane) Sample {
	return Sample{At: at(seconds), Lanes: map[job.Lane]*Lane{job.LaneIO: &l}}
}

// quiet is five minutes in which the same was there.
func quiet(l Lane) (history []Sample) {
	for s := -300; s < 0; s += 5 {
		history = append(history, one(s, l))
	}
	return history
}

func TestWanted(t *testing.T) {
	t.Parallel()
	idle := Lane{Slots: 16, Workers: 2, Spent: 6000, Finished: 60}
	for name, c := range map[string]struct {
		history []Sample
		now     Lane
		want    int
	}{
		"nothing is there":                {nil, Lane{}, 0},
		"one waits, and nobody is there":  {nil, Lane{Waiting: 1}, 1},
		"idle, for long":                  {quiet(idle), idle, 0},
		"idle, and what was is not known": {nil, idle, 2},
		"idle, known for a minute":        {quiet(idle)[48:], idle, 2},
		"busy, nothing waits": {quiet(Lane{Busy: 3, Slots: 16, Workers: 2, Spent: 1,
			Finished: 0}), Lane{Busy: 3, Slots: 16, Workers: 2, Spent: 180_000}, 1},
		"long jobs, each worker has one": {
			quiet(Lane{Busy: 3, Slots: 3, Workers: 3, Spent: 180_000}), Lane{Busy: 3, Slots: 3, Workers: 3,
				Spent: 180_000}, 3},
		"just let go by a deploy, four minutes ago": {append(quiet(idle)[:12],
			append(
				[]Sample{one(-240, Lane{Waiting: 16000, Slots: 16, Workers: 2, Spent: 6000, Finished: 60})},
				quiet(idle)[13:]...)...), idle, 2},
		"short jobs, many": {nil, Lane{Waiting: 10_000, Slots: 8, Workers: 1, Busy: 8, Spent: 6000,
			Finished: 60}, 14},
		"short jobs of priority low": {nil, Lane{Low: 10_000, Slots: 8, Workers: 1, Busy: 8, Spent: 6000,
			Finished: 60}, 2},
		"long jobs": {nil, Lane{Waiting: 32, Slots: 8, Workers: 1, Busy: 8, Spent: 600_000,
			Finished: 5}, 5},
		"few wait for too long": {nil, Lane{Waiting: 100, Oldest: 21_000, Slots: 8, Workers: 1, Busy: 8,
			Spent: 6000, Finished: 60}, 2},
	} {
		if got := rule.Wanted(c.history, one(0, c.now), job.LaneIO); got != c.want {
			t.Errorf("%s: %d workers wanted, not %d", name, got, c.want)
		}
	}
	if s := rule.Scale(nil, one(0, Lane{Waiting: 3, Low: 2, Oldest: 5})); s.All.Wanted != 1 ||
		s.All.Waiting != 5 || s.Lanes[job.LaneIO].RunMS != 1000 {
		t.Errorf("%+v", s)
	}
}

// A burst is a simulated installation: so many jobs at once, and workers that start and
// end as the rule wants, asked each poll.
type burst struct {
	jobs, slots, most int
	run, poll, start  time.Duration
}

// simulate returns the time in which all ran, how often the direction of scaling changed,
// and how many workers were there in the end, ten minutes later.
func (b burst) simulate() (took time.Duration, reversals, left int) {
	const step = 100 * time.Millisecond
	waiting, history := b.jobs, []Sample(nil)
	type worker struct{ ready time.Duration }
	workers := []worker{{}}
	var ends []time.Duration // of those that run
	var spent, finished []int64
	direction := 0
	for now := time.Duration(0); ; now += step {
		running := ends[:0]
		var done int64
		for _, end := range ends {
			if end > now {
				running = append(running, end)
			} else {
				done++
			}
		}
		ends = running
		slots := 0
		for _, w := range workers {
			if w.ready <= now {
				slots += b.slots
			}
		}
		for waiting > 0 && len(ends) < slots {
			waiting--
			ends = append(ends, now+b.run)
		}
		spent, finished = append(spent, int64(len(ends))*step.Milliseconds()), append(finished, done)
		if waiting == 0 && len(ends) == 0 && took == 0 {
			took = now
		}
		if took > 0 && now > took+10*time.Minute {
			return took, reversals, len(workers)
		}
		is := Lane{Waiting: int64(waiting), Busy: int64(len(ends)), Slots: int64(slots),
			Workers: int64(slots / b.slots)}
		if waiting > 0 {
			is.Oldest = now.Milliseconds()
		}
		for i := max(0, len(spent)-600); i < len(spent); i++ {
			is.Spent += spent[i]
			is.Finished += finished[i]
		}
		sample := Sample{At: at(0).Add(now), Lanes: map[job.Lane]*Lane{job.LaneIO: &is}}
		if now%b.poll == 0 {
			want := min(b.most, max(1, rule.Wanted(history, sample, job.LaneIO)))
			turn := 0
			for len(workers) < want {
				workers, turn = append(workers, worker{now + b.start}), 1
			}
			if want < len(workers) {
				workers, turn = workers[:want], -1
			}
			if turn != 0 && direction != 0 && turn != direction {
				reversals++
			}
			if turn != 0 {
				direction = turn
			}
		}
		if now%sampleEvery == 0 {
			history = append(history, sample)
			history = history[max(0, len(history)-60):]
		}
	}
}

// TestBurst simulates the burst that the rule is judged by: 10,000 jobs of 100 ms come at
// once, one to eight workers of two slots take them. Beside the best time, which eight
// workers that are there from the start would need.
func TestBurst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		poll, start time.Duration
		within      float64
	}{
		{5 * time.Second, 2 * time.Second, 1.07}, {15 * time.Second, 2 * time.Second, 1.2},
		{15 * time.Second, 10 * time.Second, 1.3},
	} {
		t.Run(fmt.Sprintf("poll %v, start %v", c.poll, c.start), func(t *testing.T) {
			t.Parallel()
			b := burst{jobs: 10_000, slots: 2, most: 8, run: 100 * time.Millisecond, poll: c.poll,
				start: c.start}
			best := b.run * time.Duration(b.jobs/b.slots/b.most)
			took, reversals, left := b.simulate()
			ratio := took.Seconds() / best.Seconds()
			t.Logf("%v, %.3f × the best, %d reversals", took, ratio, reversals)
			if ratio > c.within || reversals > 1 || left != 1 {
				t.Errorf(
					"%.3f × the best %v, want ≤ %v; %d reversals, want 1 at most; %d workers are left, want 1",
					ratio, best, c.within, reversals, left)
			}
		})
	}
}
