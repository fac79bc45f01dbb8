package redisdb

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Combiner is a client whose script calls share round trips: while calls are
// under way, later ones gather, and the next round trip takes all of them. A
// lone call is not delayed, and there is no goroutine: each pipeline is sent by
// one of the callers that wait for it. All other commands pass through.
//
// It was measured against go-redis' AutoPipeline; docs/performance.md has the
// figures.
type Combiner struct {
	redis.UniversalClient

	mu      sync.Mutex
	busy    int
	waiting []*combined
}

// Combine returns a combiner on a client.
func Combine(c redis.UniversalClient) *Combiner { return &Combiner{UniversalClient: c} }

const (
	combineWays    = 2   // pipelines under way at once
	combineMost    = 128 // calls of one pipeline
	combineTimeout = 10 * time.Second
)

type combined struct {
	cmd   *redis.Cmd
	ready chan struct{} // closed when cmd has its reply, or when this caller is to send
	send  bool
}

// EvalSha runs a script by its digest.
func (c *Combiner) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", sha, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	if len(keys) > 0 {
		cmd.SetFirstKeyPos(3)
	}
	c.do(ctx, &combined{cmd: cmd})
	return cmd
}

func (c *Combiner) do(ctx context.Context, one *combined) {
	c.mu.Lock()
	if c.busy < combineWays {
		c.busy++
		c.mu.Unlock()
		c.run(ctx, one)
		return
	}
	one.ready = make(chan struct{})
	c.waiting = append(c.waiting, one)
	c.mu.Unlock()
	// Its outcome is known within the pipeline's time limit; a caller that went
	// away sooner would not know whether the script has run.
	<-one.ready
	if one.send {
		c.run(ctx, one)
	}
}

// run sends one and what waits, then hands the turn on.
func (c *Combiner) run(ctx context.Context, one *combined) {
	c.mu.Lock()
	n := min(len(c.waiting), combineMost-1)
	batch := append([]*combined{one}, c.waiting[:n]...)
	c.waiting = append(c.waiting[:0], c.waiting[n:]...)
	c.mu.Unlock()

	if len(batch) == 1 {
		_ = c.Process(ctx, one.cmd) // the command has its error
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), combineTimeout)
		pipe := c.Pipeline()
		for _, b := range batch {
			_ = pipe.Process(ctx, b.cmd)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		cancel()
	}

	c.mu.Lock()
	if len(c.waiting) > 0 {
		next := c.waiting[0]
		c.waiting = c.waiting[1:]
		next.send = true
		close(next.ready)
	} else {
		c.busy--
	}
	c.mu.Unlock()
	for _, b := range batch[1:] {
		close(b.ready)
	}
}
