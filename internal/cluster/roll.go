package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A roll replaces processes one by one: a successor is started, and when it is ready the
// old process is told to end. The first that doesn't become ready ends the roll; those
// that were not replaced go on.
type roll struct {
	defs   *definitions
	todo   []*slot
	total  int
	slot   *slot    // whose turn it is; nil = the next one's
	next   *process // its successor, until that is ready
	old    *process // that is to end
	report func(line string, done bool, err error)
}

var errRolling = errors.New("processes are being replaced just now: try again when that is over")

// restart begins a roll of all types, or of one. report hears of each step.
func (c *cluster) restart(typ string, report func(line string, done bool, err error)) {
	fail := func(err error) {
		c.log.Error("not restarted: all stay as they are", "error", err)
		report("", true, err)
	}
	if c.roll != nil {
		fail(errRolling)
		return
	}
	defs, err := c.load()
	if err != nil {
		fail(err)
		return
	}
	var todo []*slot
	for _, s := range c.slots {
		if (typ == "" || s.typ == typ) && !s.drained { // those end soon
			if defs.find(s.typ) < 0 {
				fail(fmt.Errorf("%s has no %s any more", c.Procfile, s.typ))
				return
			}
			todo = append(todo, s)
		}
	}
	if len(todo) == 0 {
		fail(fmt.Errorf("there is no process of type %s", typ))
		return
	}
	c.defs = defs
	c.log.Info("processes are replaced one by one", "processes", len(todo))
	c.roll = &roll{defs: defs, todo: todo, total: len(todo), report: report}
}

// hangup is SIGHUP: a restart of all.
func (c *cluster) hangup() {
	switch {
	case c.closing:
	case c.roll != nil:
		c.again = true
	default:
		c.restart("", func(string, bool, error) {})
	}
}

// endRoll ends a roll, with the reason where it stops early.
func (c *cluster) endRoll(err error) {
	r := c.roll
	if r == nil {
		return
	}
	c.roll = nil
	done := r.total - len(r.todo)
	if err != nil {
		if r.slot != nil {
			done--
		}
		if r.next != nil && c.procs[r.next] {
			c.stop(r.next)
		}
		err = fmt.Errorf("the restart stopped: %w; %d of %d were replaced, the others go on as they were",
			err, done, r.total)
		c.log.Error("restart stopped: those that were not replaced go on", "error", err, "replaced", done,
			"of", r.total)
	} else {
		c.log.Info("all were replaced", "processes", r.total)
	}
	r.report("", true, err)
	if c.again && !c.closing {
		c.again = false
		c.hangup()
	}
}

// rollOn does the roll's next step, if it is time for it.
func (c *cluster) rollOn() {
	r := c.roll
	switch {
	case r == nil:
	case r.old != nil:
		if !c.procs[r.old] {
			r.old = nil
			c.replaced(r)
		}
	case r.next != nil:
		c.await(r)
	case r.slot != nil:
		c.succeed(r)
	case len(r.todo) > 0:
		r.slot, r.todo = r.todo[0], r.todo[1:]
		if !slices.Contains(c.slots, r.slot) {
			r.slot = nil
			return
		}
		if c.Socket == nil && r.slot.typ == webType && r.slot.now != nil {
			r.old = r.slot.now // it has the port that its successor needs
			c.drop(r.slot)
			return
		}
		c.succeed(r)
	default:
		c.endRoll(nil)
	}
}

// drop takes a slot's process out of it and tells it to end.
func (c *cluster) drop(s *slot) {
	p := s.now
	s.now, s.retry = nil, c.now+time.Hour // not before its successor
	c.stop(p)
}

// succeed starts a successor.
func (c *cluster) succeed(r *roll) {
	p, err := c.spawn(r.defs, r.slot.typ, r.slot.number)
	if err != nil {
		c.giveUp(r, fmt.Errorf("%s.%d: %w", r.slot.typ, r.slot.number, err))
		return
	}
	r.next = p
}

// await looks whether a successor is ready.
func (c *cluster) await(r *roll) {
	p := r.next
	switch {
	case !c.procs[p]:
		how, _ := p.how()
		r.next = nil
		c.giveUp(r, fmt.Errorf("the new %s ended before it was ready: %s", p.name(), how))
	case p.state == ready:
		old := r.slot.now
		r.slot.now, r.slot.defs, r.slot.pause, r.next = p, r.defs, 0, nil
		if old == nil {
			c.replaced(r)
			return
		}
		r.old = old
		c.stop(old)
	case c.now-p.begun >= readyTimeout:
		c.giveUp(r, fmt.Errorf("the new %s was not ready within %v", p.name(), readyTimeout))
	}
}

func (c *cluster) replaced(r *roll) {
	if r.slot.now == nil { // its port is free now
		c.succeed(r)
		return
	}
	name := fmt.Sprintf("%s.%d", r.slot.typ, r.slot.number)
	r.slot = nil
	r.report(fmt.Sprintf("%s was replaced, %d of %d", name, r.total-len(r.todo), r.total), false, nil)
}

// giveUp ends the roll at a slot whose successor came to nothing.
func (c *cluster) giveUp(r *roll, err error) {
	if r.slot.now == nil {
		r.slot.retry = c.now // with own ports the old one has ended: try on
		r.slot.rest(c.now)
	}
	c.endRoll(err)
}
