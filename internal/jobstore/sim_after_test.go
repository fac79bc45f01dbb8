package jobstore

import (
	"context"
	"errors"

	"longshore/internal/access"
	"longshore/job"
)

// waitFor makes some jobs wait for others, or for a release.
func (s *sim) waitFor(p *proc, j *simJob, nj *NewJob) {
	if s.rng.IntN(3) == 0 {
		var there []*simJob
		for _, id := range s.order {
			if other := s.jobs[id]; other.acked && other != j {
				there = append(there, other)
			}
		}
		for range min(len(there), 3) {
			i := s.rng.IntN(len(there))
			j.after, nj.After = append(j.after, there[i]), append(nj.After, there[i].id)
			there[i] = there[len(there)-1]
			there = there[:len(there)-1]
		}
		j.anyway = s.rng.IntN(3) == 0
		nj.RunAnyway = j.anyway
	}
	if s.rng.IntN(8) == 0 {
		j.held, j.freed, nj.Hold = true, false, "why"
		s.after(nil, s.rng.Int64N(60_000), func() { s.release(p, j) })
	}
	if nj.Hold == "" {
		j.freed = true
	}
	if nj.waits() {
		s.waited++
	}
}

// release lets a held job go, by a process that lives, once it is there.
func (s *sim) release(p *proc, j *simJob) {
	for _, other := range s.procs {
		if p.dead {
			p = other
		}
	}
	again := func() { s.after(nil, 1000, func() { s.release(p, j) }) }
	if p.dead || j.state == "" {
		again()
		return
	}
	j.held = false
	s.rpc(p, func(ctx context.Context) error {
		_, err := s.store.Views().Release(ctx, access.Everything, j.id, "sim")
		j.freed = j.freed || err == nil
		s.observe(j)
		return err
	}, func(err error) {
		if errors.Is(err, errNoAnswer) {
			again()
		}
	})
	s.after(nil, patience+1, func() { // p may have died meanwhile
		if p.dead && !j.state.Terminal() {
			again()
		}
	})
}

// judgeOrder holds that a job goes only when all have ended that it is after, as it wants it, and it
// isn't held.
func (s *sim) judgeOrder(j *simJob, state job.State) {
	if state == job.Awaiting || state == job.Uploading || state.Terminal() || state == j.state {
		return
	}
	if j.held {
		s.violate("%s: is %s and was never released", j.id, state)
	}
	for _, one := range j.after {
		s.observe(one)
		switch {
		case one.gone:
		case !one.state.Terminal():
			s.violate("%s: is %s before %s has ended", j.id, state, one.id)
		case one.state != job.Succeeded && !j.anyway:
			s.violate("%s: is %s, and %s has ended %s", j.id, state, one.id, one.state)
		}
	}
}

// judgeFall holds that a job which nobody canceled was canceled for one that it is after.
func (s *sim) judgeFall(j *simJob) {
	if j.state != job.Canceled || j.canceledAt > 0 || len(j.after) == 0 {
		return
	}
	for _, one := range j.after {
		if one.gone || one.state.Terminal() && one.state != job.Succeeded {
			return
		}
	}
	s.violate("%s: was canceled by nobody, and all before it have succeeded", j.id)
}

// judgeFree holds that a job which has entered itself everywhere hears of the last end within a few sweeps.
func (s *sim) judgeFree() {
	const slack = 3000
	for _, id := range s.order {
		j := s.jobs[id]
		if j.state != job.Awaiting || !j.entered || !j.freed || len(j.after) == 0 {
			j.free = 0
			continue
		}
		free := true
		for _, one := range j.after {
			free = free && (one.gone || one.state.Terminal())
		}
		switch {
		case !free:
			j.free = 0
		case j.free == 0:
			j.free = s.watched
		case s.watched-j.free > slack:
			if s.observe(j); j.state == job.Awaiting {
				s.violate("%s: still waits, %d ms after all before it have ended", id, s.watched-j.free)
			}
		}
	}
}
