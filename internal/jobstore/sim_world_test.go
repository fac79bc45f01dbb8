package jobstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// spawn starts a process; workers take tickets, every process sweeps.
func (s *sim) spawn(name string, worker bool) *proc {
	p := &proc{name: name, worker: worker, free: s.slots, suspects: NewSuspects(s.slots),
		claimer: s.store.NewClaimer([]string{"sim.job"})}
	s.procs = append(s.procs, p)
	if worker {
		s.every(p, 20, 40, func() { s.take(p) })
		s.every(p, 1900, 200, func() { s.beat(p) })
		s.every(p, 900, 200, func() { s.claim(p) })
	}
	if !s.rules.noSweeper {
		s.every(p, 240, 20, func() { s.sweep(p) })
	}
	return p
}

func (s *sim) every(p *proc, ms, jitter int64, do func()) {
	var again func()
	again = func() {
		do()
		s.after(p, ms+s.rng.Int64N(jitter), again)
	}
	s.after(p, s.rng.Int64N(ms), again)
}

func (s *sim) reachable(p *proc) bool { return p.cut <= s.mono && s.stalled <= s.mono }

func (s *sim) sweep(p *proc) {
	if !s.reachable(p) {
		return
	}
	s.redis(func(ctx context.Context) {
		if s.jumpedBy < 0 && s.mono-s.swept+s.jumpedBy >= 0 {
			// Nobody swept for longer than TIME went back, so nobody can see that it did.
			s.jumped = s.watched + 120_000
			s.forgive(s.jumped)
		}
		s.jumpedBy = 0
		s.watched, s.swept = s.watched+min(s.mono-s.swept, 300), s.mono
		if s.limited > 0 && s.mono%2 == 0 {
			_, _ = s.store.pace(ctx) // as workers do it when a token is due
		}
		sum, err := s.sweeper.Sweep(ctx)
		if err = s.answered(err); err != nil && !errors.Is(err, errNoAnswer) {
			s.violate("%s: sweep: %v", p.name, err)
		}
		if sum != (Swept{}) {
			s.say("%s swept %+v", p.name, sum)
			s.observeAll()
		}
	})
	s.judgeLeases()
	s.judgeFree()
	s.judgeBatch()
}

// grant notes that a lease was given to a job, or renewed.
func (s *sim) grant(j *simJob, ok bool) {
	if ok {
		j.granted = s.watched
	}
}

// judgeLeases holds that a lease which nobody renews ends when its time was
// watched, however often Redis stood still in between.
func (s *sim) judgeLeases() {
	const slack = 1500
	for _, id := range s.order {
		j := s.jobs[id]
		late := func() bool {
			return (j.state == job.Running || j.state == job.Uploading) &&
				(s.watched-j.granted > simLease+slack ||
					j.state == job.Running && j.capped > 0 && s.watched-j.capped > cancelCapMS+slack)
		}
		if !late() {
			continue
		}
		if s.observe(j); late() {
			s.violate("%s: still %s, %d ms after its lease was given (canceled %d ms ago)", id, j.state,
				s.watched-j.granted, s.watched-j.capped)
		}
	}
}

// start asks for a job that was not started with its ticket: a suspect.
func (s *sim) start(r *simRun) {
	pause := int64(50)
	var try func()
	try = func() {
		sent := s.mono
		var started Started
		s.rpc(r.p, func(ctx context.Context) (err error) {
			most := r.p.suspects.Most()
			if s.rules.noShares {
				most = poisonLosses
			}
			started, err = s.store.StartWithin(ctx, r.t, r.fence, most)
			if err == nil && r.out == nil {
				r.out = r.p.suspects.Add(started.Losses)
				s.after(nil, Young.Milliseconds(), r.out)
			}
			s.grant(r.j, err == nil)
			s.observe(r.j)
			return err
		}, func(err error) {
			switch {
			case err == nil:
				s.started(r, started, sent)
			case errors.Is(err, errNoAnswer):
				s.after(r.p, pause, try)
				pause = min(2*pause, 1000)
			case errors.Is(err, ErrSuspect):
				wait := 1000 + s.rng.Int64N(250)
				s.ask(r.p, func(ctx context.Context) error {
					return s.store.Postpone(ctx, r.t, time.Duration(wait)*time.Millisecond)
				}, func(error) { s.leave(r) })
			default:
				s.leave(r)
			}
		})
	}
	try()
}

// begin runs the handler, in a child that has a watchdog of its own.
func (s *sim) begin(r *simRun, canceled bool) {
	if r.began {
		return
	}
	r.began = true
	if r.j.forbidOverlap && s.mono >= r.renewed+simLease-killBefore.Milliseconds() && !s.rules.noKillClock {
		s.end(r, End{Outcome: Release})
		return
	}
	if canceled {
		s.end(r, End{Outcome: Canceled})
		return
	}
	if r.j.forbidOverlap && r.j.active != nil {
		s.violate("%s: runs twice at once, on %s and %s", r.j.id, r.j.active.p.name, r.p.name)
	}
	r.j.active = r
	s.say("%s runs %s", r.p.name, r.j.id[30:])
	s.watch(r)
	if r.j.poison > 0 {
		s.after(nil, r.j.poison, func() {
			if !r.stopped && !r.p.dead {
				r.j.deaths++
				s.kill(r.p)
			}
		})
		return
	}
	duration := r.j.duration
	if !r.j.exact {
		duration = 1 + s.rng.Int64N(duration)
	}
	s.after(nil, duration, func() {
		if r.stopped {
			return
		}
		s.stop(r)
		outcome := End{Outcome: Succeeded, Result: []byte(`1`)}
		if r.j.failsLeft > 0 {
			r.j.failsLeft--
			outcome = End{Outcome: Retry, Delay: time.Duration(s.rng.Int64N(2000)) * time.Millisecond,
				Code: job.HandlerError, Message: "no luck"}
		} else {
			r.j.completed[r.fence] = true
		}
		s.after(r.p, 0, func() { s.end(r, outcome) })
	})
}

// watch is the kill clock of a run that must not overlap. It is the child's,
// so a paused worker's child dies in time.
func (s *sim) watch(r *simRun) {
	if !r.j.forbidOverlap || s.rules.noKillClock {
		return
	}
	s.after(nil, max(0, r.renewed+simLease-killBefore.Milliseconds()-s.mono), func() {
		if r.stopped {
			return
		}
		if s.mono >= r.renewed+simLease-killBefore.Milliseconds() {
			s.stop(r)
			s.say("%s cut off from %s", r.p.name, r.j.id[30:])
			s.after(r.p, 0, func() { s.end(r, End{Outcome: Release}) })
			return
		}
		s.watch(r)
	})
}

func (s *sim) stop(r *simRun) {
	r.stopped = true
	if r.j.active == r {
		r.j.active = nil
	}
}

// end records the outcome, asking until it is answered.
func (s *sim) end(r *simRun, e End) {
	r.stopped = true
	var ended Ended
	s.ask(r.p, func(ctx context.Context) (err error) {
		ended, err = s.store.Finish(ctx, r.j.id, r.fence, e)
		s.observe(r.j)
		return err
	}, func(err error) {
		s.say("%s ended %s: %s → %s %v", r.p.name, r.j.id[30:], e.Outcome, ended.State, err)
		s.leave(r)
	})
}

func (s *sim) leave(r *simRun) {
	i := slices.Index(r.p.runs, r)
	if i < 0 {
		return
	}
	if r.out != nil {
		r.out()
	}
	r.p.runs = slices.Delete(r.p.runs, i, i+1)
	r.p.free++
}

// beat renews all leases of a worker in one call.
func (s *sim) beat(p *proc) {
	var runs []*simRun
	var beats []Beat
	for _, r := range p.runs {
		if r.began && !r.stopped {
			runs, beats = append(runs, r), append(beats, Beat{ID: r.j.id, Fence: r.fence, Renew: true})
		}
	}
	if len(beats) == 0 {
		return
	}
	sent := s.mono
	var replies []BeatReply
	s.rpc(p, func(ctx context.Context) (err error) {
		replies, err = s.store.Beats(ctx, beats)
		for i, reply := range replies {
			s.grant(runs[i].j, reply.Err == nil && !reply.Cancel)
		}
		return err
	}, func(err error) {
		if err != nil {
			return
		}
		for i, r := range runs {
			switch {
			case r.stopped:
			case replies[i].Err != nil:
				s.stop(r)
				s.leave(r)
			case replies[i].Cancel:
				s.stop(r)
				s.end(r, End{Outcome: Canceled})
			default:
				r.renewed = sent
			}
		}
	})
}

// kill ends a process; another one takes its place some time later.
func (s *sim) kill(p *proc) {
	s.say("fault: %s killed", p.name)
	p.dead = true
	for _, r := range p.runs { // the children go along, their tickets stay
		s.stop(r)
	}
	name, worker := p.name+"'", p.worker
	s.after(nil, s.rng.Int64N(10_000), func() { s.spawn(name, worker) })
}

// nemesis breaks something now and then.
func (s *sim) nemesis() {
	p := s.procs[s.rng.IntN(len(s.procs))]
	what := s.rng.IntN(7)
	if s.rules.split {
		what = 1 + what%2
	}
	switch what {
	case 0:
		if p.dead {
			break
		}
		s.kill(p)
	case 1:
		p.paused = s.mono + []int64{300, 5000, 20_000, 90_000}[s.rng.IntN(4)]
		s.say("fault: %s paused", p.name)
	case 2:
		p.cut = s.mono + s.rng.Int64N(30_000)
		s.say("fault: %s cut off", p.name)
	case 3:
		s.stalled = s.mono + []int64{500, 3000, 12_000, 40_000}[s.rng.IntN(4)]
		s.say("fault: redis stalled")
	case 4:
		if s.mono-s.lastJump < 20_000 {
			break
		}
		s.lastJump = s.mono
		d := s.rng.Int64N(120_000) - 60_000
		s.skew += d
		s.jumped, s.jumpedBy = s.watched, s.jumpedBy+d
		s.forgive(s.watched) // what a jump does to a lease is not told here
		s.say("fault: redis time jumps by %d ms", d)
	case 5:
		if s.strangers == nil { // whose tasks are for nobody to take away
			s.lose()
		}
	}
}

// world runs one seed to its end and returns the simulation.
func world(t testing.TB, seed uint64, prefix string, r rules) *sim {
	s := newSim(t, patient(t), prefix, seed, r)
	var webs []*proc
	for i := range 2 {
		webs = append(webs, s.spawn(fmt.Sprintf("web%d", i), false))
		s.spawn(fmt.Sprintf("worker%d", i), true)
	}
	const jobs, faultTime = 20, 90_000
	calm := r.calm
	if calm == 0 {
		calm = 400_000
	}
	s.openBatch()
	for i := range jobs {
		p := webs[i%2]
		s.after(nil, s.rng.Int64N(80_000), func() { s.submit(p) })
	}
	for at := s.rng.Int64N(5000); at < faultTime; at += 1000 + s.rng.Int64N(9000) {
		if r.quiet {
			break
		}
		s.after(nil, at, func() { s.nemesis() })
	}
	if seed%3 == 0 && !r.quiet { // Redis stands still again and again, each time for a little
		for at := s.rng.Int64N(5000); at < faultTime; at += 4000 + s.rng.Int64N(1500) {
			s.after(nil, at, func() { s.stalled = max(s.stalled, s.mono+1300) })
		}
	}
	s.every(nil, 10_000, 10, s.judgeCallbackTimes)
	if s.strangers != nil {
		s.every(nil, 300, 600, s.intrude)
	}
	if s.queues != nil {
		s.every(nil, 700, 10, s.forgetQueues)
	}
	if r.quiet {
		s.every(nil, 1000, 10, s.judgeHeld)
	}
	begin := s.mono
	s.after(nil, faultTime, func() {
		s.faults = false
		s.stalled = 0
		for _, p := range s.procs {
			p.paused, p.cut = 0, 0
		}
	})
	// The world ends when all jobs have, and still have after another while:
	// calls that a stall held up may come in.
	for len(s.violations) == 0 && s.mono-begin < faultTime+calm {
		s.runUntil(func() bool {
			return s.mono-begin > faultTime+10_000 && s.allEnded() || s.mono-begin > faultTime+calm
		})
		pause := s.mono + 12_000
		s.runUntil(func() bool { return s.mono > pause })
		if s.allEnded() {
			break
		}
	}
	s.judge()
	s.judgeStrangers()
	redistest.Clear(prefix)
	return s
}

func (s *sim) runUntil(done func() bool) {
	for !done() && len(s.violations) == 0 && s.step() {
	}
}

func (s *sim) allEnded() bool {
	if s.batch != nil && !s.batch.done {
		return false
	}
	for _, j := range s.jobs {
		if !j.gone && !j.state.Terminal() && (j.state != "" || j.file == nil && !j.creator.dead) {
			return false // a living creator asks until the job is there
		}
		if f := j.file; f != nil && f.again() && f.acked == "" && f.tries < mostTries {
			return false
		}
		if j.callback && j.state.Terminal() && !j.settled {
			return false
		}
	}
	return true
}

// judge holds what must be true when all faults are over.
func (s *sim) judge() {
	s.observeAll()
	ctx := context.Background()
	for _, id := range s.order {
		j := s.jobs[id]
		if j.state == "" && !j.acked || j.gone {
			continue // never created, or gone by its retention
		}
		if !j.state.Terminal() {
			s.violate("%s: still %s after all faults were over", id, j.state)
			continue
		}
		if j.canceledAt > 0 && j.state != job.Canceled {
			s.violate("%s: ended as %s after an accepted cancel", id, j.state)
		}
		if s.batch == nil || !s.batch.canceled || !j.member {
			s.judgeFall(j)
		}
		s.judgeCallback(j)
	}
	s.judgeFiles()
	s.judgeCounts()
	if len(s.violations) > 0 {
		return
	}
	for part, base := range s.store.bases {
		if n := s.rdb.ZCard(ctx, base+"lease").Val(); n != 0 {
			s.violate("%s: %d entries left in lease", base, n)
		}
		if n := s.rdb.ZCard(ctx, base+"when").Val(); n != 0 {
			s.violate("%s: %d entries left in when", base, n)
		}
		s.judgeBooks(part)
	}
}

// seeds is how many worlds a run tries; LONGSHORE_SEEDS=10000 tries more.
func seeds(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("LONGSHORE_SEEDS")); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 4
	}
	return usual
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	prefix := redistest.Prefix(t)
	var ended, used, waited, changed int
	for seed := range uint64(seeds(t, 24)) {
		s := world(t, seed, fmt.Sprintf("%s-%d", prefix, seed), rules{})
		if len(s.violations) > 0 {
			t.Fatalf("seed %d: %s", seed, s.report())
		}
		ended, used, waited = ended+len(s.order), used+s.used, waited+s.waited
		changed += s.changed
	}
	t.Logf("%d jobs ended as they must, %d of them used files of others, %d waited, %d changes", ended, used,
		waited, changed)
	if used == 0 || waited == 0 || changed == 0 {
		t.Error("no job used files of another one, or none waited, or was changed")
	}
}
