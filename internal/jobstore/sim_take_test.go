package jobstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// take has tickets popped and their jobs started, in one call. An answer that
// doesn't come leaves the call open: the next one repeats it.
func (s *sim) take(p *proc) {
	if p.taking || p.free == 0 || !s.reachable(p) {
		return
	}
	n := p.free
	p.taking, p.free = true, 0
	lane := []job.Lane{job.LaneCPU, job.LaneIO}[s.rng.IntN(2)]
	priority := job.Default
	if s.changes {
		priority = job.Priorities[s.rng.IntN(len(job.Priorities))]
	}
	if p.claimer.open == nil {
		p.claimer.serial++
		part := s.rng.IntN(len(s.store.bases))
		at := s.somePlace(job.Place{Lane: lane, Priority: priority}, part)
		p.claimer.open = &claimCall{at, part, n, newFences(n), servedTypes(p.claimer.Types)}
	}
	open, serial, sent := *p.claimer.open, p.claimer.serial, s.mono
	free := func(taken int) {
		p.taking = false
		p.free += n - taken
	}
	if open.n > n {
		free(0)
		return // it repeats a call that took more than there is room for
	}
	var claims []Claim
	void := false
	p.dull = s.rules.quiet && !s.anyQueued()
	defer func() { p.dull = false }()
	claim := func(ctx context.Context) (err error) {
		// a take that brings nothing leaves no memo: coming late once more it would start jobs for nobody
		if void {
			return nil
		}
		call := *p.claimer
		call.serial = serial // it may come twice, the second time late
		again := open
		call.open = &again
		claims, _, err = call.Claim(ctx, open.at, open.part, open.n)
		void = s.rules.quiet && len(claims) == 0
		for _, c := range claims {
			if j := s.jobs[c.Ticket.ID]; j != nil {
				s.grant(j, c.Err == nil)
				s.observe(j)
			}
		}
		return err
	}
	echo := func() { s.redis(func(ctx context.Context) { _ = claim(ctx) }) }
	s.rpc(p, claim, func(err error) {
		if err != nil {
			if !errors.Is(err, errNoAnswer) {
				s.violate("claim: %v", err)
			}
			free(0)
			return
		}
		p.claimer.open = nil
		free(len(claims))
		for _, c := range claims {
			if s.claimed(p, c, sent); s.rules.quiet {
				s.jobs[c.Ticket.ID].echo = echo
			}
		}
	})
}

// claimed begins what a claim has brought.
func (s *sim) claimed(p *proc, c Claim, sent int64) {
	r := &simRun{p: p, j: s.jobs[c.Ticket.ID], t: c.Ticket, fence: c.Fence}
	p.runs = append(p.runs, r)
	s.say("%s took %s.%d: %v", p.name, c.Ticket.ID[30:], c.Ticket.Delivery, c.Err)
	if c.Err != nil {
		s.start(r)
		return
	}
	s.started(r, c.Started, sent)
}

// started compares what the job is to do, and runs it.
func (s *sim) started(r *simRun, started Started, sent int64) {
	r.renewed = sent
	want, _ := r.j.spec.encode()
	if r.j.file != nil {
		s.wantFile(r.j, started.Spec)
	} else if got, _ := started.Spec.encode(); got != want {
		s.violate("%s: is to do %s, started with %s", r.j.id, want, got)
	}
	s.begin(r, started.CancelRequested)
}

// judgeBooks holds that counters agree with records, each ended job is in a list of its end, each in the
// stream of its family, and that tickets without a list entry there are none.
func (s *sim) judgeBooks(part int) {
	ctx, base := context.Background(), s.store.bases[part]
	kept, found := s.store.books(ctx, part)
	if !maps.Equal(kept, found) {
		s.violate("%s: counted %q, there are %q", base, fmt.Sprint(kept), fmt.Sprint(found))
	}
	pattern := strings.NewReplacer("{", `\{`, "}", `\}`).Replace(base)
	due := map[string]bool{}
	for _, list := range s.rdb.Keys(ctx, pattern+"end:*").Val() {
		for _, raw := range s.rdb.LRange(ctx, list, 0, -1).Val() {
			due[raw] = true
		}
		if _, err := s.rdb.ZScore(ctx, base+"ends", list[len(base)+4:]).Result(); err != nil {
			s.violate("%s: is in no set", list)
		}
	}
	listed := map[string]bool{}
	for _, stream := range s.rdb.Keys(ctx, pattern+"all:*").Val() {
		for _, m := range s.rdb.XRange(ctx, stream, "-", "+").Val() {
			raw, _ := m.Values["j"].(string)
			listed[raw] = true
		}
	}
	for _, key := range s.rdb.Keys(ctx, pattern+"j:*").Val() {
		if raw := key[len(base)+2:]; !due[raw] || !listed[raw] {
			s.violate("%s: has ended, is to be removed one day: %v, is in a stream: %v", job.FromRaw(raw),
				due[raw], listed[raw])
		} else {
			delete(listed, raw)
		}
	}
	if len(listed) > 0 {
		s.violate("%s: %d entries of streams without a job", base, len(listed))
	}
	for _, queue := range s.store.lists(part) {
		keys := s.store.keysOf(queue, part)
		for _, key := range s.rdb.Keys(ctx, strings.NewReplacer("{", `\{`, "}", `\}`).Replace(keys)+"t:*").
			Val() {
			if s.rdb.HExists(ctx, key, "state").Val() {
				continue // archived by asynq's tools, of a job that has ended since
			}
			if _, err := s.rdb.LPos(ctx, keys+"pending", key[len(keys)+2:], redis.LPosArgs{}).
				Result(); err != nil {
				s.violate("%q: a ticket that is in no list", key)
			}
		}
	}
}
