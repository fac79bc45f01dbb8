package bench

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

func TestMain(m *testing.M) { redistest.Main(m) }

type nothing struct{}

var noop = tasks.Definition[nothing]{Type: "bench.noop", Lane: job.LaneIO}

// installation is a Longshore on an empty Redis of its own.
func installation(b *testing.B, connections int) *connect.System {
	b.Helper()
	sys, err := connect.Open(b.Context(), connect.Config{RedisURL: redistest.URL(b), Prefix: redistest.Prefix(b),
		BlobURL: "file://" + b.TempDir(), MaxConnections: connections})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sys.Close() })
	return sys
}

func drafts(n int) []jobstore.NewJob {
	jobs := make([]jobstore.NewJob, n)
	for i := range jobs {
		jobs[i] = jobstore.NewJob{ID: job.NewID(time.Now()), Type: noop.Type, Lane: job.LaneIO, Priority: job.Default,
			Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, Digest: "00000000000000000000000000000000"}
	}
	return jobs
}

// submitAll creates jobs and their tickets in bulk.
func submitAll(b *testing.B, sys *connect.System, jobs []jobstore.NewJob) {
	b.Helper()
	for part := range slices.Chunk(jobs, 500) {
		created, errs := sys.Store.CreateMany(b.Context(), part)
		for i := range created {
			if errs[i] != nil || !created[i].Sent {
				b.Fatal(errs[i])
			}
		}
	}
}

// slots is the concurrency of a worker that runs jobs of no length. Stock asynq
// is measured with its default (one a core) and with as many slots as ours.
const slots = 256

// drainLongshore lets one worker run n no-op jobs that wait, records and events on.
func drainLongshore(b *testing.B, n int) time.Duration {
	sys := installation(b, 8)
	submitAll(b, sys, drafts(n))
	var ran atomic.Int64
	var r handlers.Registry
	done := make(chan struct{})
	handlers.Add(&r, noop, func(context.Context, *handlers.Run, nothing) (any, error) {
		ran.Add(1)
		return nil, nil
	})
	ctx, stop := context.WithCancel(b.Context())
	var ended atomic.Int64
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		sys.Store.Listen(ctx, func(rev job.Rev) {
			if rev.Done && ended.Add(1) == int64(n) {
				close(done)
			}
		}, sync.OnceFunc(func() { close(ready) }))
	})
	<-ready

	began := time.Now()
	wg.Go(func() {
		worker.Serve(ctx, sys, worker.Config{StreamConcurrency: slots, CPUConcurrency: 1}, &r)
	})
	<-done
	took := time.Since(began)
	stop()
	wg.Wait()
	if ran.Load() != int64(n) {
		b.Errorf("%d of %d jobs ran", ran.Load(), n)
	}
	return took
}

// drainAsynq does the same with stock asynq: nothing but its own task.
func drainAsynq(b *testing.B, n, concurrency int) time.Duration {
	opt, err := redis.ParseURL(redistest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	queue := redistest.Prefix(b)
	producer := redis.NewClient(opt)
	defer producer.Close()
	client := asynq.NewClientFromRedisClient(producer)
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < n; i += 64 {
				if _, err := client.Enqueue(asynq.NewTask(noop.Type, nil), asynq.Queue(queue)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	var ran atomic.Int64
	done := make(chan struct{})
	began := time.Now()
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ran.Add(1) == int64(n) {
			close(done)
		}
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	<-done
	took := time.Since(began)
	srv.Shutdown()
	return took
}

// BenchmarkDrain lets one worker process empty a queue of no-op jobs.
func BenchmarkDrain(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	const n = 50_000
	var ours, usual, best []float64
	for b.Loop() {
		usual = append(usual, n/drainAsynq(b, n, 0).Seconds())
		ours = append(ours, n/drainLongshore(b, n).Seconds())
		best = append(best, n/drainAsynq(b, n, slots).Seconds())
	}
	b.ReportMetric(median(ours), "longshore_jobs/s")
	b.ReportMetric(median(usual), "asynq_default_jobs/s")
	b.ReportMetric(median(best), "asynq_best_jobs/s")
	b.ReportMetric(median(ours)/max(median(usual), median(best)), "ratio")
	b.ReportMetric(0, "ns/op")
	b.Logf("longshore %.0f, asynq %.0f, with %d slots %.0f", ours, usual, slots, best)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
