package jobstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"longshore/job"
)

// What the simulation's clients do: submit, upload, use outputs and cancel.

// simPayloads are none, one that its record holds, and one with a key of its own.
var simPayloads = [...]string{`{}`, `{"n":1}`, `{"text":"` + strings.Repeat("long ", 20) + `"}`}

// submit creates a job from a web process; some upload their input first.
func (s *sim) submit(p *proc) {
	id := s.newID("")
	nj := NewJob{ID: id, Type: "sim.job", Lane: job.LaneCPU, Priority: job.Default, Timeout: time.Hour,
		MaxAttempts: 3, Retention: time.Hour * 24, Digest: "d", Queue: s.someQueue()}
	if s.rng.IntN(4) == 0 {
		nj.RunAt = time.UnixMilli(s.mono + s.skew + s.rng.Int64N(20_000))
	}
	if s.rng.IntN(4) == 0 {
		s.sendFile(nj)
		return
	}
	j := &simJob{id: id, creator: p, completed: map[string]bool{}, forbidOverlap: s.rng.IntN(3) > 0,
		duration: 1 + s.rng.Int64N(25_000)}
	nj.Spec.Payload = []byte(simPayloads[j.duration%3])
	if s.rng.IntN(4) == 0 {
		j.failsLeft = 1 + s.rng.IntN(3)
	}
	if j.short = s.rng.IntN(2) == 0; j.short {
		nj.Retention = time.Second + time.Duration(s.rng.Int64N(10_000))*time.Millisecond
		nj.Claim = time.Hour // or a create that was held up could make a job anew that is gone already
	}
	if s.rng.IntN(2) == 0 {
		j.callback, nj.CallbackURL = true, "https://receiver.example/"
	}
	s.jobs[id], s.order = j, append(s.order, id)
	if owner := s.succeeded(); owner != nil {
		s.use(p, owner, j, nj)
		return
	}
	s.waitFor(p, j, &nj)
	s.limit(j, &nj)
	s.join(j, &nj)
	s.create(p, j, nj)
}

// succeeded picks a job whose files may be used, nil if there is none.
func (s *sim) succeeded() *simJob {
	var some []*simJob
	for _, id := range s.order {
		if j := s.jobs[id]; j.state == job.Succeeded && j.short && !j.gone {
			some = append(some, j)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[s.rng.IntN(len(some))]
}

// use registers a job with the owner of its input, then creates it.
func (s *sim) use(p *proc, owner, j *simJob, nj NewJob) {
	nj.Spec.Input = &Input{Blob: string(owner.id) + "/f/out", Size: 1}
	s.ask(p, func(ctx context.Context) error {
		return s.store.Use(ctx, owner.id, j.id)
	}, func(err error) {
		switch {
		case errors.Is(err, job.ErrNotFound): // its retention was over: no job
			delete(s.jobs, j.id)
			s.order = slices.DeleteFunc(s.order, func(id job.ID) bool { return id == j.id })
		case err != nil:
			s.violate("%s: use of %s: %v", j.id, owner.id, err)
		default:
			s.say("%s uses the files of %s", j.id[30:], owner.id[30:])
			j.owner = owner.id
			s.used++
			s.create(p, j, nj)
		}
	})
}

func (s *sim) create(p *proc, j *simJob, nj NewJob) {
	id := j.id
	j.spec = nj.Spec
	s.ask(p, func(ctx context.Context) (err error) {
		if s.faults && len(nj.After) > 0 && s.ids.IntN(2) == 0 { // a kill after the first step
			var reply []any
			if reply, err = s.store.creates.Do(ctx, s.store.base(nj.ID), &nj); err == nil {
				err = status(nj.ID, reply)
			}
		} else {
			var made Created
			made, err = s.store.Create(ctx, nj)
			j.entered = j.entered || made.New
		}
		s.grant(j, err == nil)
		s.observe(j)
		return err
	}, func(err error) {
		switch {
		case errors.Is(err, ErrClaimed) && j.short:
			j.gone = true // before an answer came
			return
		case errors.Is(err, ErrBatchClosed): // it came late, and isn't made
			delete(s.jobs, id)
			s.order = slices.DeleteFunc(s.order, func(one job.ID) bool { return one == id })
			return
		case err != nil:
			s.violate("%s: create: %v", id, err)
			return
		}
		j.acked = true
	})
	if s.changes {
		for range s.rng.IntN(5) {
			s.after(p, s.rng.Int64N(10_000), func() { s.change(p, j) })
		}
	}
	if s.rng.IntN(3) == 0 {
		s.after(p, s.rng.Int64N(30_000), func() { s.cancel(p, j) })
	}
}

// cancel checks the promise: what was accepted before the end wins.
func (s *sim) cancel(p *proc, j *simJob) {
	s.ask(p, func(ctx context.Context) error {
		m, _ := s.moving(j.id)
		was := m.state
		err := s.store.RequestCancel(ctx, j.id)
		if err == nil && was != "" && !was.Terminal() && j.canceledAt == 0 {
			j.canceledAt = s.mono
			if was == job.Running {
				j.capped = s.watched
			}
			s.say("cancel of %s accepted while %s", j.id[30:], was)
		}
		s.observe(j)
		return err
	}, func(error) {})
}
