package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/worker"
)

// BenchmarkWorkers has one and 100 whole workers on one Redis, in this process: what they cost Redis
// while there is nothing to do, and what a lone job does that each of them might take. docs/scale.md has
// the figures.
func BenchmarkWorkers(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { manyWorkers(b, n) })
	}
}

func manyWorkers(b *testing.B, n int) {
	sys, where := open(b, 8)
	where.MaxConnections = 3 // that of a worker that has nothing to do
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	ran := make(chan time.Time, 1)
	var taken atomic.Int64
	var r handlers.Registry
	handlers.Add(&r, noop, func(context.Context, *handlers.Run, nothing) (any, error) {
		taken.Add(1)
		ran <- time.Now()
		return nil, nil
	})
	for range n {
		wg.Go(func() {
			worker.Run(ctx, worker.Config{Connection: where, StreamConcurrency: 2,
				Lanes: []job.Lane{job.LaneIO}}, &r)
		})
	}
	for {
		if workers, err := sys.Queue.Workers(ctx); err == nil && len(workers) >= n {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	<-time.After(6 * time.Second) // until each has said so once more, and so knows how many there are
	const idle = 5 * time.Second
	for b.Loop() {
		measure := startCost(b, sys.Redis)
		<-time.After(idle)
		c := measure(1)
		b.ReportMetric(100*c.redis.Seconds()/c.wall.Seconds(), "redis_idle_%")
		b.ReportMetric(100*c.process.Seconds()/c.wall.Seconds()/float64(n), "worker_idle_%")
		var starts []float64
		measure = startCost(b, sys.Redis)
		const lone = 100
		for _, j := range drafts(lone) {
			at := time.Now()
			if _, err := sys.Store.Create(b.Context(), j); err != nil {
				b.Fatal(err)
			}
			starts = append(starts, float64((<-ran).Sub(at).Microseconds())/1000)
			<-time.After(20 * time.Millisecond)
		}
		d := measure(lone)
		// Without what the workers cost anyway.
		own := d.redis.Seconds() - c.redis.Seconds()/c.wall.Seconds()*d.wall.Seconds()
		b.ReportMetric(1e6*own/lone, "redis_µs/job")
		b.ReportMetric(median(starts), "start_ms")
	}
	b.ReportMetric(0, "ns/op")
}
