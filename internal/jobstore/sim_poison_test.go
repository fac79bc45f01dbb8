package jobstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// Worlds without faults but one kind: workers die, by a job that ends them or by
// an outside hand. Who is to blame for it?

// deathWorld has workers with these slots, and nothing else in it.
func deathWorld(t *testing.T, seed uint64, r rules, workers, slots int) *sim {
	t.Helper()
	s := newSim(t, redistest.Client(t), fmt.Sprintf("%s-%d", redistest.Prefix(t), seed), seed, r)
	s.faults, s.slots = false, slots
	for i := range workers {
		s.spawn(fmt.Sprintf("worker%d", i), true)
	}
	return s
}

// add submits a job that works this long. One that ends its worker after a while is poison.
func (s *sim) add(duration, poison time.Duration) *simJob {
	id := s.newID("")
	j := &simJob{id: id, completed: map[string]bool{}, duration: duration.Milliseconds(), exact: true,
		poison: poison.Milliseconds()}
	s.jobs[id], s.order = j, append(s.order, id)
	s.redis(func(ctx context.Context) {
		_, err := s.store.Create(ctx, NewJob{ID: id, Type: "sim.job", Lane: job.LaneIO, Priority: job.Default,
			Timeout: time.Hour, MaxAttempts: 3, Retention: 24 * time.Hour, Digest: "d"})
		if err != nil {
			s.violate("%s: create: %v", id, err)
			return
		}
		s.observe(j)
	})
	return j
}

// killSome has a living worker die.
func (s *sim) killSome() {
	var living []*proc
	for _, p := range s.procs {
		if !p.dead {
			living = append(living, p)
		}
	}
	if len(living) > 0 {
		s.kill(living[s.rng.IntN(len(living))])
	}
}

// runFor lets the world go on until all its jobs have ended, at most so long.
func (s *sim) runFor(most time.Duration) (took time.Duration) {
	begin := s.mono
	ended := func() bool {
		for _, j := range s.jobs {
			if !j.state.Terminal() {
				return false
			}
		}
		return true
	}
	s.runUntil(func() bool { return s.mono-begin > most.Milliseconds() || len(s.jobs) > 0 && ended() })
	s.observeAll()
	return time.Duration(s.mono-begin) * time.Millisecond
}

// poisoned reports whether a job was ended as one that ends its workers.
func (s *sim) poisoned(j *simJob) bool {
	snap, err := s.store.Get(context.Background(), j.id)
	return err == nil && snap.Error != nil && snap.Error.Code == job.Poisoned
}

// poisonWorld has one job that ends its worker early, among others that don't.
func poisonWorld(t *testing.T, seed uint64, r rules) []string {
	slots := []int{1, 2, 4, 8, 18, 64}[seed%6]
	s := deathWorld(t, seed, r, 1+int(seed%2), slots)
	poison := s.add(0, time.Duration(20+s.rng.Int64N(9000))*time.Millisecond)
	var innocent []*simJob
	for range min(30, 3*slots) {
		s.after(nil, s.rng.Int64N(5000), func() {
			innocent = append(innocent, s.add(time.Duration(1+s.rng.Int64N(10_000))*time.Millisecond, 0))
		})
	}
	s.runUntil(func() bool { return s.mono > 1_700_000_005_000 })
	s.runFor(time.Hour)
	if !s.poisoned(poison) || poison.deaths > poisonLosses {
		s.violate("%s: is %s after it ended %d workers", poison.id, poison.state, poison.deaths)
	}
	for _, j := range innocent {
		if j.state != job.Succeeded {
			s.violate("%s: is innocent and %s, poisoned: %v", j.id, j.state, s.poisoned(j))
		}
	}
	return s.violations
}

// TestPoisonSimulation holds that a job that ends its workers early is found after a
// few, and that those who died with it are not blamed.
func TestPoisonSimulation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(seeds(t, 8)) {
		if v := poisonWorld(t, seed, rules{}); len(v) > 0 {
			t.Fatalf("seed %d: %s", seed, strings.Join(v, "\n"))
		}
	}
}

// TestPoisonNeedsShares holds that the world above notices what it is there for.
func TestPoisonNeedsShares(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		if v := poisonWorld(t, seed, rules{noShares: true}); len(v) > 0 {
			return
		}
	}
	t.Error("suspects are not kept apart, and nobody noticed")
}

// spotWorld has long jobs on machines that go away every few minutes.
func spotWorld(t *testing.T, seed uint64, r rules) []string {
	s := deathWorld(t, seed, r, 2, 8)
	var jobs []*simJob
	for range 6 {
		jobs = append(jobs, s.add(time.Duration(200+s.rng.Int64N(200))*time.Second, 0))
	}
	kills := 0
	var kill func()
	kill = func() {
		if kills++; kills < 24 {
			s.killSome()
			s.after(nil, 75_000+s.rng.Int64N(60_000), kill)
		}
	}
	s.after(nil, 70_000, kill)
	s.runFor(2 * time.Hour)
	for _, j := range jobs {
		if j.state != job.Succeeded || j.slowest > 12_000 {
			s.violate("%s: is %s (poisoned: %v), and ran again after %d ms once", j.id, j.state,
				s.poisoned(j), j.slowest)
		}
	}
	return s.violations
}

// TestSpotSimulation holds that a long job is not blamed for its machines, and runs
// again soon.
func TestSpotSimulation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(seeds(t, 1)) {
		if v := spotWorld(t, seed, rules{}); len(v) > 0 {
			t.Fatalf("seed %d: %s", seed, strings.Join(v, "\n"))
		}
	}
	every := rules{script: func(src string) string {
		return strings.ReplaceAll(src, "t - lease_ms - j.st >= @YOUNG@", "false")
	}}
	for seed := range uint64(8) {
		if len(spotWorld(t, seed, every)) > 0 {
			return
		}
	}
	t.Error("each loss makes a suspect, and nobody noticed")
}

// TestLostTogether has eight jobs of 8 s lost twice within 10 s: they are innocent,
// and run again together.
func TestLostTogether(t *testing.T) {
	t.Parallel()
	for seed := range uint64(seeds(t, 4)) {
		s := deathWorld(t, seed, rules{}, 1, 16)
		var jobs []*simJob
		for range 8 {
			jobs = append(jobs, s.add(8*time.Second, 0))
		}
		for _, at := range []int64{2000, 13_000} {
			s.after(nil, at, func() {
				s.killSome()
				s.spawn(fmt.Sprintf("worker at %d", at), true)
			})
		}
		if took := s.runFor(5 * time.Minute); took > 36*time.Second {
			t.Errorf("seed %d: it took %v", seed, took)
		}
		for _, j := range jobs {
			if j.state != job.Succeeded || j.slowest > 12_000 {
				t.Errorf("seed %d: %s after %d ms", seed, j.state, j.slowest)
			}
		}
	}
}
