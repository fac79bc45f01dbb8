package bench

import (
	"context"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/jobstore"
	"longshore/internal/limits"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/tasks"
)

var long = tasks.Definition[nothing]{Type: "bench.long", Lane: job.LaneIO}

// longJob is how long a job runs of which there are many.
const longJob = 10 * time.Millisecond

// BenchmarkBlocked measures how long a lone job takes to begin beside 100,000 others that a limit holds
// back: of another key, of which one may run, and of another tenant, of which as many may run as there are
// slots.
func BenchmarkBlocked(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	key := func(name string) func(*jobstore.NewJob) {
		return func(n *jobstore.NewJob) { n.LimitKey = name }
	}
	tenant := func(name string) func(*jobstore.NewJob) {
		return func(n *jobstore.NewJob) { n.Owner = access.Owner{Tenant: name} }
	}
	const many = 100_000
	for name, c := range map[string]struct {
		limit       string
		busy, alone func(*jobstore.NewJob)
		many        int
	}{
		"empty":  {`{"per":["key"],"concurrency":1}`, key("busy"), key("alone"), 0},
		"key":    {`{"per":["key"],"concurrency":1}`, key("busy"), key("alone"), many},
		"tenant": {`{"per":["tenant"],"concurrency":8}`, tenant("busy"), tenant("alone"), many},
	} {
		b.Run(name, func(b *testing.B) {
			sys, where := open(b, 8)
			by := limits.Asker{Actor: store.Local(nil), View: access.View{Tenant: access.Installation}}
			if _, _, err := sys.Limits.Put(b.Context(), by, "one", []byte(c.limit)); err != nil {
				b.Fatal(err)
			}
			if err := sys.Limits.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
			began := make(chan time.Time, 1)
			var r handlers.Registry
			handlers.Add(&r, noop, func(context.Context, *handlers.Run, nothing) (any, error) {
				began <- time.Now()
				return nil, nil
			})
			handlers.Add(&r, long, func(ctx context.Context, _ *handlers.Run, _ nothing) (any, error) {
				select {
				case <-time.After(longJob):
				case <-ctx.Done():
				}
				return nil, nil
			})
			jobs := drafts(c.many)
			for i := range jobs {
				jobs[i].Type = long.Type
				c.busy(&jobs[i])
				sys.Limits.Classify(&jobs[i])
			}
			submitAll(b, sys, jobs)
			serve(b, where, &r)
			starts(b, 5, func() time.Duration {
				one := drafts(1)
				c.alone(&one[0])
				sys.Limits.Classify(&one[0])
				sent := time.Now()
				submitAll(b, sys, one)
				return (<-began).Sub(sent)
			})
		})
	}
}
