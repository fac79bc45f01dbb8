package jobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// A claimSim has programs claim jobs through web processes: answers are lost, tries come late, jobs are
// taken back, programs die. What must hold: who was told of a job, and renews in time, has it to itself;
// each job ends once, by who had it; and none is lost, or fails for losses that nobody made.
type claimSim struct {
	*turned
	t       *testing.T
	rng     *rand.Rand
	wrong   []string
	holders map[job.ID]*claimHold
	ended   map[job.ID]int
	parked  []func()                    // what web processes have not come to yet
	given   map[string]map[job.ID]int64 // by key, to tries without an answer, and when
	deaths  int
}

// A claimHold is what a program believes of a job.
type claimHold struct {
	program int
	fence   string
	until   int64 // ms: its lease, as it knows of it
}

// A claimProgram is one that claims.
type claimProgram struct {
	number int
	hand   Hand
	holds  map[job.ID]*claimHold
}

func (c *claimSim) violate(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// ask makes one try, at once or later; told is whether its answer arrives.
func (c *claimSim) ask(p *claimProgram) {
	if p.hand.Key == "" {
		p.hand = Hand{Worker: fmt.Sprint("w", p.number), Key: NewFence(), Try: 0, N: 1 + c.rng.IntN(3)}
	}
	p.hand.Try++
	hand, sent := p.hand, c.now
	switch c.rng.IntN(6) {
	case 0: // a web process takes its time over it: the program tries again meanwhile
		c.parked = append(c.parked, func() { c.try(p, hand, sent, false) })
	case 1:
		c.try(p, hand, sent, false)
	default:
		if c.try(p, hand, sent, true) {
			p.hand.Key = ""
		}
	}
	if p.hand.Try > 5 {
		p.hand.Key = ""
	}
}

// try is what a web process does for one try.
func (c *claimSim) try(p *claimProgram, h Hand, sent int64, told bool) bool {
	ctx, n := context.Background(), claimable()
	claims, _, err := c.HandOut(ctx, 0, h, 0, []job.Place{n.Place()})
	if errors.Is(err, ErrLaterTry) {
		return false
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if !told {
		if c.rng.IntN(2) == 0 { // it sees that nobody is there, and comes to say so
			c.parked = append(c.parked, func() {
				if err := c.TakeBack(ctx, 0, h); err != nil {
					c.t.Fatal(err)
				}
			})
			delete(c.given, h.Key)
			return false
		}
		for _, claim := range claims {
			if c.given[h.Key] == nil {
				c.given[h.Key] = map[job.ID]int64{}
			}
			c.given[h.Key][claim.Ticket.ID] = c.now
		}
		return false
	}
	for id, at := range c.given[h.Key] {
		there := slices.ContainsFunc(claims, func(claim Claim) bool { return claim.Ticket.ID == id })
		if !there && c.now-at < ClaimLease.Milliseconds() {
			c.violate("%s was handed out to a try without an answer, and the next isn't told of it", id)
		}
	}
	for _, claim := range claims {
		id := claim.Ticket.ID
		if was := c.holders[id]; was != nil && was.program != p.number && was.until > c.now {
			c.violate("%s is handed to %d while %d has it for %d ms", id, p.number, was.program, was.until-c.now)
		}
		if c.ended[id] > 0 {
			c.violate("%s is handed out after its end", id)
		}
		hold := &claimHold{p.number, claim.Fence, sent + ClaimLease.Milliseconds()}
		p.holds[id], c.holders[id] = hold, hold
	}
	return true
}

// work renews, ends or forgets what a program has.
func (c *claimSim) work(p *claimProgram) {
	ctx := context.Background()
	for id, hold := range p.holds {
		if hold.until <= c.now {
			delete(p.holds, id) // it knows that it is late
			continue
		}
		switch c.rng.IntN(4) {
		case 0:
			got, err := c.Renew(ctx, access.Everything, []Renewal{{ID: id, Fence: hold.fence}})
			if err != nil {
				c.t.Fatal(err)
			}
			if got[0].Err != nil {
				c.violate("%s: %d can't renew within its lease: %v", id, p.number, got[0].Err)
			}
			if c.rng.IntN(3) > 0 { // else the answer is lost
				hold.until = c.now + ClaimLease.Milliseconds()
			}
		case 1:
			for range 1 + c.rng.IntN(2) { // a repeat
				if ended, err := c.Finish(ctx, id, hold.fence, End{Outcome: Succeeded}); err != nil ||
					ended.State != job.Succeeded {
					c.violate("%s: %d can't end it within its lease: %+v %v", id, p.number, ended, err)
				}
			}
			c.ended[id]++
			delete(p.holds, id)
			delete(c.holders, id)
		}
	}
}

func simulateClaims(t *testing.T, seed uint64, edit func(string) string) []string {
	t.Helper()
	store := storeOf(t, Config{Prefix: redistest.Prefix(t), Turned: true, Edit: edit})
	s := &turned{Store: store, queue: handQueue{store}, now: 1_700_000_000_000}
	s.sweeper = &Sweeper{Store: store, Log: slog.New(slog.DiscardHandler)}
	s.turn(t, 0)
	c := &claimSim{turned: s, t: t, rng: rand.New(rand.NewPCG(seed, 1)), holders: map[job.ID]*claimHold{},
		ended: map[job.ID]int{}, given: map[string]map[job.ID]int64{}}
	var ids []job.ID
	programs := []*claimProgram{}
	for i := range 3 {
		programs = append(programs, &claimProgram{number: i, holds: map[job.ID]*claimHold{}})
	}
	for step := range 400 {
		if step < 150 && c.rng.IntN(3) == 0 {
			n := claimable()
			n.Retention = 24 * time.Hour
			mustCreate(t, store, n)
			ids = append(ids, n.ID)
		}
		p := programs[c.rng.IntN(len(programs))]
		if c.rng.IntN(2) == 0 {
			c.ask(p)
		}
		c.work(p)
		if len(c.parked) > 0 && c.rng.IntN(3) == 0 {
			late := c.parked[0]
			c.parked = c.parked[1:]
			late()
		}
		if c.deaths < 3 && c.rng.IntN(150) == 0 { // it dies with all that it has; another begins
			c.deaths++
			*p = claimProgram{number: p.number + 100, holds: map[job.ID]*claimHold{}}
		}
		pause := time.Duration(c.rng.Int64N(1500)) * time.Millisecond
		if c.rng.IntN(60) == 0 { // nobody hears anything until leases have ended
			pause = ClaimLease + 2*time.Second
		}
		c.turn(t, pause)
	}
	for range 200 { // the rest
		for _, p := range programs {
			c.ask(p)
			c.work(p)
		}
		c.turn(t, time.Second)
	}
	for _, id := range ids {
		if snap := c.state(t, id); snap.State != job.Succeeded || c.ended[id] != 1 {
			c.violate("%s is %s, ended %d times: %v", id, snap.State, c.ended[id], snap.Error)
		}
	}
	return c.wrong
}

// TestClaimsSimulation holds what programs may rely on that claim jobs.
func TestClaimsSimulation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			for _, wrong := range simulateClaims(t, seed, nil) {
				t.Error(wrong)
			}
		})
	}
}

// TestClaimsSimulationNotices takes rules away, one after the other: the simulation must see it.
func TestClaimsSimulationNotices(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string][2]string{
		"try of a taker back": {"if was ~= ARGV[2] then return 0 end", "if not was then return 0 end"},
		"late try":            {"if was and tonumber(was) > try then return { 'late' } end", ""},
		"memo":                {"given and given ~= '' and 'again' or 'ok'", "'ok'"},
		"fence":               {"if not j or j.s ~= 'running' or j.f ~= fence then return end\n  if not j.cr", "if not j.cr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edit := func(script string) string { return strings.ReplaceAll(script, rule[0], rule[1]) }
			for seed := range uint64(20) {
				if len(simulateClaims(t, seed, edit)) > 0 {
					return
				}
			}
			t.Error("nothing was noticed in 20 runs")
		})
	}
}
