package jobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A call is one job's part of a script call.
type call struct {
	key   string
	args  []any
	reply []any
	err   error
	ready chan struct{} // closed when reply or err is set, or when this caller is to lead
	lead  bool
}

// A group runs one script for many jobs at a time: while a call is under way,
// later ones gather, and the next takes them along. A lone call is not
// delayed. There is no goroutine of its own: each batch is run by one of its callers.
type group struct {
	rdb     redis.UniversalClient
	script  *redis.Script
	max     int           // jobs a batch
	timeout time.Duration // of a batch
	lanes   int           // batches under way at once

	mu      sync.Mutex
	busy    int
	waiting []*call
}

// do runs one job's part and returns its reply. The error is Redis's.
func (g *group) do(ctx context.Context, id job.ID, key string, args ...any) ([]any, error) {
	c := &call{key: key, args: args}
	g.mu.Lock()
	if g.busy < g.lanes {
		g.busy++
		g.mu.Unlock()
		g.run(ctx, c)
		return c.reply, c.err
	}
	c.ready = make(chan struct{})
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()

	select {
	case <-c.ready:
	case <-ctx.Done():
		if g.leave(c) {
			return nil, context.Cause(ctx)
		}
		<-c.ready // it is under way: its outcome is known within the batch's timeout
	}
	if c.lead {
		g.run(ctx, c)
	}
	return c.reply, c.err
}

// leave takes a call back that no batch has taken.
func (g *group) leave(c *call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == c {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// run sends c and what waits in one call, then hands the lead on.
func (g *group) run(ctx context.Context, c *call) {
	g.mu.Lock()
	n := min(len(g.waiting), g.max-1)
	batch := append([]*call{c}, g.waiting[:n]...)
	g.waiting = append(g.waiting[:0], g.waiting[n:]...)
	g.mu.Unlock()

	// Others ride along, so one caller's end doesn't end the batch.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout)
	send(ctx, g.rdb, g.script, batch)
	cancel()

	g.mu.Lock()
	if len(g.waiting) > 0 {
		next := g.waiting[0]
		g.waiting = g.waiting[1:]
		next.lead = true
		close(next.ready)
	} else {
		g.busy--
	}
	g.mu.Unlock()
	for _, other := range batch[1:] {
		close(other.ready)
	}
}

// all runs a script for many jobs that one caller brings.
func all(ctx context.Context, rdb redis.UniversalClient, s *redis.Script, max int, calls []*call) error {
	var errs []error
	for len(calls) > 0 {
		n := min(len(calls), max)
		send(ctx, rdb, s, calls[:n])
		errs = append(errs, calls[0].err)
		calls = calls[n:]
	}
	return errors.Join(errs...)
}

// send runs one batch: in one call on a single Redis, a call a shard on a
// Cluster, where the keys of one call must share a slot.
func send(ctx context.Context, rdb redis.UniversalClient, s *redis.Script, batch []*call) {
	if _, cluster := rdb.(*redis.ClusterClient); !cluster || len(batch) == 1 {
		sendPart(ctx, rdb, s, batch)
		return
	}
	var parts [job.Shards][]*call
	for _, c := range batch {
		k := shardOfKey(c.key)
		parts[k] = append(parts[k], c)
	}
	var wg sync.WaitGroup
	for _, part := range parts {
		if len(part) > 0 {
			wg.Go(func() { sendPart(ctx, rdb, s, part) })
		}
	}
	wg.Wait()
}

func sendPart(ctx context.Context, rdb redis.UniversalClient, s *redis.Script, batch []*call) {
	keys := make([]string, len(batch))
	args := make([]any, 0, len(batch)*len(batch[0].args))
	for i, c := range batch {
		keys[i] = c.key
		args = append(args, c.args...)
	}
	replies, err := s.Run(ctx, rdb, keys, args...).Slice()
	if err == nil && len(replies) != len(batch) {
		err = fmt.Errorf("script answered %d of %d jobs", len(replies), len(batch))
	}
	for i, c := range batch {
		if err != nil {
			c.err = err
			continue
		}
		c.reply, _ = replies[i].([]any)
		if len(c.reply) == 0 {
			c.err = fmt.Errorf("script answered a job with %T", replies[i])
		}
	}
}

// slots splits the keys of one call: all together on a single Redis, one by
// one on a Cluster.
func (s *Store) slots(keys []string) [][]string {
	if _, cluster := s.rdb.(*redis.ClusterClient); !cluster {
		return [][]string{keys}
	}
	parts := make([][]string, len(keys))
	for i, key := range keys {
		parts[i] = []string{key}
	}
	return parts
}
