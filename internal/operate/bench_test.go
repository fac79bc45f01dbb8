package operate

import (
	"context"
	"strconv"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/job"
)

// BenchmarkBulkRetry tells how many failed jobs a second an operation retries, without the checks of package
// submit: b.N jobs.
func BenchmarkBulkRetry(b *testing.B) {
	t := setup(b)
	messages := make([]string, b.N)
	for i := range messages {
		messages[i] = "no. " + strconv.Itoa(i)
	}
	t.fail("test.job", job.HandlerError, messages...)
	t.carryOn()
	b.ResetTimer()
	o, err := t.Bulk(b.Context(), access.Everything, answer.BulkRequest{Action: Retry,
		Filter: answer.JobFilter{State: "failed"}}, "bench")
	if err != nil {
		b.Fatal(err)
	}
	if o = t.done(o.ID); o.Moved != int64(b.N) {
		b.Fatalf("moved %d of %d", o.Moved, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkFind tells how long it takes to find 5 failed jobs among b.N pending ones, and to count all.
func BenchmarkFind(b *testing.B) {
	t := setup(b)
	t.fail("test.job", job.HandlerError, "a", "b", "c", "d", "e")
	for left := b.N; left > 0; left -= 500 {
		news := make([]jobstore.NewJob, min(left, 500))
		for i := range news {
			news[i] = t.newJob("test.job")
		}
		if _, errs := t.Store.CreateMany(b.Context(), news); errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
	took := func(unit string, f func(ctx context.Context) error) {
		begun := time.Now()
		const times = 20
		for range times {
			if err := f(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/1000/times, unit)
	}
	b.ResetTimer()
	took("ms/find", func(ctx context.Context) error {
		page, err := t.Store.List(ctx, job.Filter{State: job.Failed})
		if len(page.Jobs) != 5 {
			b.Errorf("%d are found", len(page.Jobs))
		}
		return err
	})
	took("ms/count", func(ctx context.Context) error {
		_, err := t.Counts(ctx, access.Everything, "")
		return err
	})
	took("ms/failures", func(ctx context.Context) error {
		_, err := t.Failures(ctx, access.Everything, job.Filter{})
		return err
	})
}
