package cluster

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"longshore/internal/loop"
)

// The times of scaling by itself.
const (
	askEvery = 5 * time.Second
	askTime  = 3 * time.Second
	// told is how long after it was told to drain a process has told how many jobs it runs, none of
	// which it took since.
	told      = 7 * time.Second
	drainTime = 10 * time.Minute // after which a drained process is told to end, whatever runs
)

// askWanted asks how many processes are wanted, while any type has a range, and brings that to the loop.
func (c *cluster) askWanted(ctx context.Context) {
	failing := false
	for loop.Sleep(ctx, askEvery) == nil {
		if !c.ranged.Load() {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, askTime)
		n, err := c.Wanted(asked)
		cancel()
		switch {
		case err == nil:
			failing = false
			c.tell(event{wanted: &n})
		case !failing && ctx.Err() == nil:
			failing = true
			c.log.WarnContext(ctx, "nobody says how many processes are wanted: all stay as they are",
				"error", err)
		}
	}
}

// fit has as many processes of each type with a range as are wanted.
func (c *cluster) fit(wanted int) {
	if c.closing || c.roll != nil {
		return // it is asked again
	}
	for _, r := range c.Formation {
		if r.Max > 0 {
			c.fitType(r, min(max(wanted, r.N), r.Max))
		}
	}
}

func (c *cluster) fitType(r Count, want int) {
	var taking, draining []*slot
	for _, s := range c.slots {
		if s.typ == r.Type && s.drained {
			draining = append(draining, s)
		} else if s.typ == r.Type {
			taking = append(taking, s)
		}
	}
	have := len(taking)
	if have == want {
		return
	}
	idlest(taking)
	for _, s := range taking[min(want, have):] {
		if p := s.now; p == nil || p.state != ready || !c.drains[p.typ] {
			c.dropSlot(s) // it has no jobs, or knows no draining
			if p != nil {
				c.stop(p)
			}
			continue
		}
		s.drained, s.since = true, c.now
		s.now.family.Signal(syscall.SIGTSTP)
	}
	for _, s := range draining[:min(len(draining), max(0, want-have))] {
		s.drained = false
		have++
		if s.now != nil {
			s.now.family.Signal(syscall.SIGCONT)
		}
	}
	c.fill(r.Type, want-have)
	c.log.Info("scaled by what is wanted", "type", r.Type, "processes", want, "before", len(taking))
}

// fill adds so many slots of a type, with the lowest numbers that are free.
func (c *cluster) fill(typ string, more int) {
	for n := 1; more > 0; n++ {
		if !slices.ContainsFunc(c.slots, func(s *slot) bool { return s.typ == typ && s.number == n }) {
			c.slots = append(c.slots, &slot{typ: typ, number: n, defs: c.defs, retry: c.now})
			more--
		}
	}
	c.sortSlots()
}

// drainOn ends a drained slot once its process is idle, or has had its time.
func (c *cluster) drainOn(s *slot) {
	in := c.now - s.since
	switch {
	case !s.drained || c.roll != nil:
	case s.now == nil:
		c.dropSlot(s)
	case in >= drainTime, in >= told && s.now.busy == 0:
		c.stop(s.now)
		c.dropSlot(s)
	}
}

func (c *cluster) dropSlot(s *slot) {
	c.slots = slices.DeleteFunc(c.slots, func(other *slot) bool { return other == s })
}

// idlest sorts slots: those that are to end first stand last, which are the idlest, of these those with
// the highest numbers.
func idlest(slots []*slot) {
	slices.SortStableFunc(slots, func(a, b *slot) int {
		if a.busy() != b.busy() {
			return b.busy() - a.busy()
		}
		return a.number - b.number
	})
}

// note keeps what is wanted of a type from now on.
func (c *cluster) note(want Count) {
	i := slices.IndexFunc(c.Formation, func(f Count) bool { return f.Type == want.Type })
	if i < 0 {
		c.Formation = append(slices.Clone(c.formation(c.defs)), want)
	} else {
		c.Formation = slices.Clone(c.Formation)
		c.Formation[i] = want
	}
	c.ranged.Store(slices.ContainsFunc(c.Formation, func(f Count) bool { return f.Max > 0 }))
}

// scaleRange has a type scaled by what is wanted, within a range.
func (c *cluster) scaleRange(want Count) error {
	if c.Wanted == nil {
		return fmt.Errorf("%s=%d..%d: nobody here says how many are wanted", want.Type, want.N, want.Max)
	}
	have := 0
	for _, s := range c.slots {
		if s.typ == want.Type && !s.drained {
			have++
		}
	}
	c.note(want)
	c.fitType(want, min(max(have, want.N), want.Max))
	c.log.Info("is scaled by what is wanted from now on", "type", want.Type, "least", want.N, "most", want.Max)
	return nil
}
