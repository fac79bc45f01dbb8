package bench

import (
	"context"
	"errors"
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

func TestMain(m *testing.M) {
	worker.Main(handlers.BuiltIn())
	redistest.Main(m)
}

type nothing struct{}

var noop = tasks.Definition[nothing]{Type: "bench.noop", Lane: job.LaneIO}

// open connects to a Longshore on an empty Redis of its own, and says where a worker finds it.
func open(b *testing.B, connections int) (*connect.System, worker.Connection) {
	b.Helper()
	where := worker.Connection{RedisURL: redistest.URL(b), Prefix: redistest.Prefix(b),
		BlobURL: "file://" + b.TempDir(), MaxConnections: connections}
	sys, err := connect.Open(b.Context(), where)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sys.Close() })
	return sys, where
}

func drafts(n int) []jobstore.NewJob {
	jobs := make([]jobstore.NewJob, n)
	for i := range jobs {
		jobs[i] = jobstore.NewJob{ID: job.NewID(time.Now()), Type: noop.Type, Lane: job.LaneIO,
			Priority: job.Default, Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour,
			Digest: "00000000000000000000000000000000"}
	}
	return jobs
}

// submitAll creates jobs and their tickets in bulk.
func submitAll(b *testing.B, sys *connect.System, jobs []jobstore.NewJob) {
	b.Helper()
	for part := range slices.Chunk(jobs, 2000) {
		_, errs := sys.Store.CreateMany(b.Context(), part)
		if err := errors.Join(errs...); err != nil {
			b.Fatal(err)
		}
	}
}

// slots is the concurrency of a worker that runs jobs of no length. Stock asynq
// is measured with its default (one a core) and with as many slots as ours.
const slots = 256

// drainLongshore lets one worker run n no-op jobs that wait, records and events on.
func drainLongshore(b *testing.B, n int) cost {
	sys, where := open(b, 8)
	submitAll(b, sys, drafts(n))
	var ran atomic.Int64
	var r handlers.Registry
	done := make(chan struct{})
	handlers.Add(&r, noop, func(context.Context, *handlers.Run, nothing) (any, error) {
		if ran.Add(1) == int64(n) {
			close(done)
		}
		return nil, nil
	})
	ctx, stop := context.WithCancel(b.Context())
	measure := startCost(b, sys.Redis)
	var wg sync.WaitGroup
	wg.Go(func() {
		worker.Run(ctx, worker.Config{Connection: where, StreamConcurrency: slots,
			Lanes: []job.Lane{job.LaneIO}}, &r)
	})
	<-done
	stop()
	wg.Wait() // the ends are recorded
	took := measure(n)
	if ran.Load() != int64(n) {
		b.Errorf("%d of %d jobs ran", ran.Load(), n)
	}
	return took
}

// enqueueAll submits n tasks to stock asynq by 64 goroutines, its best: it has no bulk call.
func enqueueAll(b *testing.B, client *asynq.Client, queue string, n int) {
	b.Helper()
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
}

// drainAsynq does the same with stock asynq: nothing but its own task.
func drainAsynq(b *testing.B, n, concurrency int) cost {
	opt, err := redis.ParseURL(redistest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	queue := redistest.Prefix(b)
	producer := redis.NewClient(opt)
	defer producer.Close()
	client := asynq.NewClientFromRedisClient(producer)
	enqueueAll(b, client, queue, n)
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: concurrency,
		Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	var ran atomic.Int64
	done := make(chan struct{})
	measure := startCost(b, rdb)
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ran.Add(1) == int64(n) {
			close(done)
		}
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	<-done
	srv.Shutdown()
	return measure(n)
}

// BenchmarkDrain lets one worker process empty a queue of no-op jobs.
func BenchmarkDrain(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	const n = 50_000
	var ours, usual, best costs
	for b.Loop() {
		usual = append(usual, drainAsynq(b, n, 0))
		ours = append(ours, drainLongshore(b, n))
		best = append(best, drainAsynq(b, n, slots))
	}
	ours.report(b, "longshore")
	usual.report(b, "asynq_default")
	best.report(b, "asynq_best")
	b.ReportMetric(ours.rate()/max(usual.rate(), best.rate()), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
