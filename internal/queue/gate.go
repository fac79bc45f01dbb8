package queue

import (
	"math/rand/v2"
	"sync"
	"time"

	"longshore/job"
)

// A gate tells a lane which queue to ask for tickets, and when:
//
//   - the one that is most likely to have some, by the weights of the
//     priorities, and none that is known to be empty;
//   - with all queues empty it waits for a producer's ring;
//   - rings may be lost (pub/sub), so each queue is asked once a second anyway.
//
// asynq v0.26.0 has nothing of the kind: it asks each queue in turn and then
// sleeps, half a second to one and a half by default (processor.go, rdb.Dequeue).
type gate struct {
	poll time.Duration // between asks of a queue thought to be empty
	wake chan struct{} // a ring, or the end

	mu      sync.Mutex
	closed  bool
	quiet   bool // nothing is worth asking
	sources []*source
}

type source struct {
	queueName
	weight int
	empty  bool
	rings  uint64    // heard so far
	askAt  time.Time // when an empty queue is asked again
}

func newGate(names []queueName, lane job.Lane) *gate {
	g := &gate{poll: time.Second, wake: make(chan struct{}, 1)}
	for _, n := range names {
		if n.lane == lane {
			g.sources = append(g.sources, &source{queueName: n, weight: weight(n.priority)})
		}
	}
	return g
}

// ring says that a queue has got tickets; "" stands for any, after a reconnect.
func (g *gate) ring(queue string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sources {
		if s.name == queue || queue == "" {
			s.rings++
			s.empty = false
			g.signal()
		}
	}
}

// setQuiet has pick return no queue, or again some.
func (g *gate) setQuiet(quiet bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.quiet = quiet
	g.signal()
}

// close ends waiting for good.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.signal()
}

func (g *gate) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// pick returns a queue worth asking and the rings heard so far. It waits for
// one until the deadline; nil = there is none, or the gate is closed. Only one
// loop may call it at a time.
func (g *gate) pick(deadline time.Time) (*source, uint64) {
	for {
		s, rings, until := g.choose(time.Now(), deadline)
		if s != nil || until.IsZero() {
			return s, rings
		}
		g.rest(time.Until(until))
	}
}

// rest waits for a ring or the end, no longer than d.
func (g *gate) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-g.wake:
	case <-timer.C:
	}
}

// choose draws among the queues that may have tickets, by weight. Without any
// it says until when to wait; zero = no longer.
func (g *gate) choose(now, deadline time.Time) (chosen *source, rings uint64, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || !now.Before(deadline) {
		return nil, 0, time.Time{}
	}
	if g.quiet {
		return nil, 0, deadline
	}
	sum, until := 0, deadline
	for _, s := range g.sources {
		switch {
		case !s.empty:
			sum += s.weight
		case !now.Before(s.askAt):
			return s, s.rings, until
		case s.askAt.Before(until):
			until = s.askAt
		}
	}
	if sum == 0 {
		return nil, 0, until
	}
	n := rand.IntN(sum)
	for _, s := range g.sources {
		if s.empty {
			continue
		}
		if n -= s.weight; n < 0 {
			return s, s.rings, until
		}
	}
	return nil, 0, until // not reached: the weights add up to sum
}

// found says whether a queue that was asked had tickets.
func (g *gate) found(s *source, rings uint64, tickets bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.empty = !tickets && s.rings == rings // a ring meanwhile: ask again
	s.askAt = time.Now().Add(g.poll)
}
