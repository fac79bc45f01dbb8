package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A gate is where the idle dispatch loops of one lane wait for work. asynq has
// no blocking pop: it asks each queue in turn and then sleeps, half a second
// to one and a half by default. The gate stands in between, as the Redis
// client that asynq's server gets, and answers asynq's dequeue itself:
//
//   - it asks the queue that is most likely to have a ticket, by the weights of
//     the priorities, and no queue that it knows to be empty;
//   - with all queues empty the caller sleeps until a producer's ring. One ring
//     wakes one loop; a loop that finds a ticket wakes the next one;
//   - rings may be lost (pub/sub), so each queue is asked once a second anyway.
//
// It stands here and not in asynq's configuration because asynq v0.26.0 has
// nothing of the kind (processor.go, rdb.Dequeue).
type gate struct {
	poll time.Duration // between asks of a queue thought to be empty

	mu      sync.Mutex
	closed  bool
	sources []*source
	idle    []chan struct{} // sleeping loops, the last one first
}

type source struct {
	queueName
	weight int
	empty  bool
	rings  uint64    // heard so far
	askAt  time.Time // when an empty queue is asked again
}

// longestSleep bounds one dequeue: asynq counts the lease of the ticket from
// the call's begin.
const longestSleep = time.Second

func newGate(names []queueName, lane job.Lane) *gate {
	g := &gate{poll: time.Second}
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
			g.wakeOne()
		}
	}
}

// close lets no loop wait or take any more.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for len(g.idle) > 0 {
		g.wakeOne()
	}
}

func (g *gate) wakeOne() {
	if n := len(g.idle); n > 0 {
		close(g.idle[n-1])
		g.idle = g.idle[:n-1]
	}
}

// pick returns a queue worth asking and the rings heard so far. It waits for
// one until the deadline; nil = there is none, or the gate is closed.
func (g *gate) pick(deadline time.Time) (*source, uint64) {
	for {
		g.mu.Lock()
		now := time.Now()
		if g.closed || !now.Before(deadline) {
			g.mu.Unlock()
			return nil, 0
		}
		if s := g.choose(now); s != nil {
			rings := s.rings
			g.mu.Unlock()
			return s, rings
		}
		until := deadline
		for _, s := range g.sources {
			if s.askAt.Before(until) {
				until = s.askAt
			}
		}
		wake := make(chan struct{})
		g.idle = append(g.idle, wake)
		g.mu.Unlock()

		timer := time.NewTimer(until.Sub(now))
		select {
		case <-wake:
		case <-timer.C:
			g.leave(wake)
		}
		timer.Stop()
	}
}

func (g *gate) leave(wake chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.idle {
		if w == wake {
			g.idle = append(g.idle[:i], g.idle[i+1:]...)
			return
		}
	}
	g.wakeOne() // it was woken as it left: pass that on
}

// choose draws among the queues that may have tickets, by weight.
func (g *gate) choose(now time.Time) *source {
	sum := 0
	for _, s := range g.sources {
		if s.empty && !now.Before(s.askAt) {
			s.askAt = now.Add(g.poll) // this loop asks, the others needn't
			return s
		}
		if !s.empty {
			sum += s.weight
		}
	}
	if sum == 0 {
		return nil
	}
	n := rand.IntN(sum)
	for _, s := range g.sources {
		if s.empty {
			continue
		}
		if n -= s.weight; n < 0 {
			return s
		}
	}
	return nil
}

// found says whether a queue that was asked had a ticket.
func (g *gate) found(s *source, rings uint64, ticket bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ticket {
		s.empty = false
		g.wakeOne() // there may be more
		return
	}
	if s.rings == rings && !s.empty {
		s.empty = true
		s.askAt = time.Now().Add(g.poll)
	}
}

// A gatedClient is the Redis client that one lane's asynq servers get.
type gatedClient struct {
	redis.UniversalClient
	gate *gate
	deaf *redis.Client
}

// EvalSha answers asynq's dequeue through the gate and passes all else on.
func (c *gatedClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if !isDequeue(keys) {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	return c.dequeue(ctx, func(keys []string, args ...any) *redis.Cmd {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

// Eval is called when Redis doesn't know the script yet.
func (c *gatedClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if !isDequeue(keys) {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	}
	return c.dequeue(ctx, func(keys []string, args ...any) *redis.Cmd {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	})
}

// Subscribe returns a subscription that hears nothing and costs no
// connection: asynq's cancel channel is not used here.
func (c *gatedClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.deaf.Subscribe(ctx, channels...)
}

// isDequeue tells asynq's dequeue by its four keys: pending, paused, active, lease.
func isDequeue(keys []string) bool {
	const paused = ":paused"
	return len(keys) == 4 && len(keys[1]) > len(paused) && keys[1][len(keys[1])-len(paused):] == paused
}

// errorPause is slept after a failed ask; asynq itself would ask again at once.
const errorPause = 200 * time.Millisecond

func (c *gatedClient) dequeue(ctx context.Context, ask func(keys []string, args ...any) *redis.Cmd) *redis.Cmd {
	deadline := time.Now().Add(longestSleep)
	for {
		s, rings := c.gate.pick(deadline)
		if s == nil {
			none := redis.NewCmd(ctx)
			none.SetErr(redis.Nil)
			return none
		}
		lease := strconv.FormatInt(time.Now().Add(leaseTime).Unix(), 10)
		reply := ask([]string{s.keys + "pending", s.keys + "paused", s.keys + "active", s.keys + "lease"}, lease, s.keys+"t:")
		switch err := reply.Err(); {
		case err == nil:
			c.gate.found(s, rings, true)
			return reply
		case errors.Is(err, redis.Nil):
			c.gate.found(s, rings, false)
		default:
			if !redis.HasErrorPrefix(err, "NOSCRIPT") {
				c.gate.rest(errorPause)
			}
			return reply
		}
	}
}

// leaseTime is asynq's lease (rdb.LeaseDuration).
const leaseTime = 30 * time.Second

// rest sleeps unless the gate is closed meanwhile.
func (g *gate) rest(d time.Duration) {
	g.mu.Lock()
	closed := g.closed
	wake := make(chan struct{})
	if !closed {
		g.idle = append([]chan struct{}{wake}, g.idle...) // last in line for rings
	}
	g.mu.Unlock()
	if closed {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
		g.leave(wake)
	}
}
