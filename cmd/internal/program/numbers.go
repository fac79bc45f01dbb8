package program

import (
	"context"
	"fmt"

	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/metrics"
	"longshore/internal/redisdb"
	"longshore/job"
)

// numbersOf asks an installation for its numbers, by some calls to Redis.
func numbersOf(sys *connect.System) func(context.Context) (metrics.Installation, error) {
	return func(ctx context.Context) (n metrics.Installation, err error) {
		o, err := sys.Overview(ctx)
		if err != nil {
			return n, err
		}
		if n.Jobs, err = sys.Store.Count(ctx); err != nil {
			return n, err
		}
		for _, q := range o.Queues {
			is := metrics.Queue{Lane: q.Lane, Priority: q.Priority, Name: job.QueueOf(q.Queue),
				Waiting: q.Pending, Running: q.Active,
				Oldest: q.Latency, Paused: q.Paused, Parked: map[string]int64{}}
			n.Foreign += q.Foreign
			for _, p := range q.Parked {
				is.Parked[p.Type] += p.Pending
			}
			n.Queues = addQueue(n.Queues, is)
		}
		// Both states are there, also with no worker: an alert looks for that.
		n.Workers, n.Slots = map[string]int{}, map[job.Lane]int{}
		for _, lane := range job.Lanes {
			n.Slots[lane] = 0
		}
		for _, state := range []string{"taking", "draining"} {
			n.Workers[state] = 0
		}
		for _, w := range o.Workers {
			if w.Draining {
				n.Workers["draining"]++
				continue
			}
			n.Workers["taking"]++
			for lane, slots := range w.Slots {
				n.Slots[lane] += slots
			}
		}
		h, err := redisdb.Inspect(ctx, sys.Redis)
		if err != nil {
			return n, fmt.Errorf("ask redis for its memory: %w", err)
		}
		n.RedisUsed, n.RedisLimit = h.UsedMemory, h.MaxMemory
		if s, ok := sys.Blobs.(blob.Spacer); ok {
			if n.BlobsFree, n.BlobsTotal, err = s.Space(ctx); err != nil {
				n.BlobsFree, n.BlobsTotal = 0, 0 // the others are worth telling
			}
		}
		return n, nil
	}
}

// addQueue adds one to a list; what is claimed has a queue a type, which are told as one.
func addQueue(list []metrics.Queue, q metrics.Queue) []metrics.Queue {
	for i := range list {
		l := &list[i]
		if q.Lane == job.LaneClaim && l.Lane == q.Lane && l.Priority == q.Priority && l.Name == q.Name {
			l.Waiting, l.Running, l.Oldest = l.Waiting+q.Waiting, l.Running+q.Running, max(l.Oldest, q.Oldest)
			return list
		}
	}
	return append(list, q)
}
