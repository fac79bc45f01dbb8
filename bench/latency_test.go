package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/handlers"
	"longshore/internal/hub"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/worker"
)

// percentiles reports p50 and p99 in milliseconds.
func percentiles(b *testing.B, name string, took []time.Duration) {
	slices.Sort(took)
	ms := func(p int) float64 { return float64(took[len(took)*p/100].Microseconds()) / 1000 }
	b.ReportMetric(ms(50), name+"_p50_ms")
	b.ReportMetric(ms(99), name+"_p99_ms")
}

// rest lets the system fall idle between two jobs.
const rest = 20 * time.Millisecond

// BenchmarkIdle measures from the begin of the submission to the begin of the
// handler, on a system that has nothing else to do.
func BenchmarkIdle(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	b.Run("longshore", func(b *testing.B) {
		sys, where := open(b, 8)
		began := make(chan time.Time, 1)
		var r handlers.Registry
		handlers.Add(&r, noop, func(context.Context, *handlers.Run, nothing) (any, error) {
			began <- time.Now()
			return nil, nil
		})
		serve(b, where, &r)
		starts(b, 20, func() time.Duration {
			sent := time.Now()
			submitAll(b, sys, drafts(1))
			return (<-began).Sub(sent)
		})
	})
	b.Run("asynq", func(b *testing.B) {
		opt, err := redis.ParseURL(redistest.URL(b))
		if err != nil {
			b.Fatal(err)
		}
		rdb, queue := redis.NewClient(opt), redistest.Prefix(b)
		defer rdb.Close()
		began := make(chan time.Time, 1)
		srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{queue: 1},
			LogLevel: asynq.FatalLevel})
		if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			began <- time.Now()
			return nil
		})); err != nil {
			b.Fatal(err)
		}
		defer srv.Shutdown()
		client := asynq.NewClientFromRedisClient(rdb)
		var took []time.Duration
		for range 20 { // a second each: twenty tell enough
			<-time.After(rest)
			sent := time.Now()
			if _, err := client.Enqueue(asynq.NewTask(noop.Type, nil), asynq.Queue(queue)); err != nil {
				b.Fatal(err)
			}
			took = append(took, (<-began).Sub(sent))
		}
		b.ReportMetric(0, "ns/op")
		percentiles(b, "start", took)
	})
}

// starts reports how long jobs take to begin, which submit measures of one, with rests in between. The first
// ones don't count: the subscription is up then, the scripts are loaded.
func starts(b *testing.B, first int, submit func() time.Duration) {
	b.Helper()
	for range first {
		submit()
	}
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		<-time.After(rest)
		b.StartTimer()
		took = append(took, submit())
	}
	percentiles(b, "start", took)
}

// serve runs a worker until the benchmark ends.
func serve(b *testing.B, where worker.Connection, r *handlers.Registry) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		if err := worker.Run(ctx, worker.Config{Connection: where, Lanes: []job.Lane{job.LaneIO},
			StreamConcurrency: 8, Ready: func() { close(ready) }}, r); err != nil {
			b.Error(err)
		}
	})
	<-ready
	b.Cleanup(func() {
		stop()
		wg.Wait()
	})
}

// BenchmarkBulk measures records and tickets a second from one producer that
// has all jobs at hand, and stock asynq's from 64 goroutines.
func BenchmarkBulk(b *testing.B) {
	const n = 50_000
	var ours, theirs costs
	for b.Loop() {
		sys, _ := open(b, 8)
		jobs := drafts(n)
		measure := startCost(b, sys.Redis)
		submitAll(b, sys, jobs)
		ours = append(ours, measure(n))
		theirs = append(theirs, enqueueAsynq(b, n))
	}
	ours.report(b, "longshore")
	theirs.report(b, "asynq")
	b.ReportMetric(ours.rate()/theirs.rate(), "ratio")
	b.ReportMetric(0, "ns/op")
}

func enqueueAsynq(b *testing.B, n int) cost {
	opt, err := redis.ParseURL(redistest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	rdb, queue := redis.NewClient(opt), redistest.Prefix(b)
	defer rdb.Close()
	client := asynq.NewClientFromRedisClient(rdb)
	measure := startCost(b, rdb)
	enqueueAll(b, client, queue, n)
	return measure(n)
}

// BenchmarkWake measures from the call that finishes a job to the return of a
// wait for it, through Redis and the hub.
func BenchmarkWake(b *testing.B) {
	sys, _ := open(b, 8)
	h := hub.New(sys.Store, sys.Log)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { sys.Background(ctx, h.Run) })
	b.Cleanup(func() {
		stop()
		wg.Wait()
	})
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		draft := drafts(1)[0]
		c, err := sys.Store.Create(ctx, draft)
		if err != nil {
			b.Fatal(err)
		}
		fence := jobstore.NewFence()
		if _, err := sys.Store.Start(ctx, c.Ticket, fence, false); err != nil {
			b.Fatal(err)
		}
		woken := make(chan time.Time)
		go func() {
			if _, err := h.Wait(ctx, nil, time.Minute, hub.Want{ID: draft.ID, Done: true}); err != nil {
				b.Error(err)
			}
			woken <- time.Now()
		}()
		<-time.After(2 * time.Millisecond) // it waits by now
		b.StartTimer()
		sent := time.Now()
		if _, err := sys.Store.Finish(ctx, draft.ID, fence,
			jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-woken).Sub(sent))
	}
	percentiles(b, "wake", took[len(took)/10:]) // the first ones connect
}
