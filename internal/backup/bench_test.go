package backup_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"longshore/internal/backup"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// BenchmarkBackup writes and restores many jobs (BACKUP_JOBS, 100,000 unless it says more), while one
// client submits.
func BenchmarkBackup(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("BACKUP_JOBS"))
	n = max(n, 100_000)
	where := func() connect.Config {
		return connect.Config{RedisURL: redistest.New(b).URL(), BlobURL: "file://" + b.TempDir()}
	}
	sys, err := connect.Open(b.Context(), where())
	if err != nil {
		b.Fatal(err)
	}
	defer sys.Close()
	draw := func() jobstore.NewJob {
		return jobstore.NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default,
			Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour,
			Spec: jobstore.Spec{Payload: []byte(`{"customer":1234567,"kind":"monthly report"}`)}}
	}
	for at := 0; at < n; at += 1000 {
		jobs := make([]jobstore.NewJob, 1000)
		for i := range jobs {
			jobs[i] = draw()
		}
		if _, errs := sys.Store.CreateMany(b.Context(), jobs); errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "backup")
		stop, took := make(chan struct{}), make(chan []time.Duration)
		go func() {
			var all []time.Duration
			for {
				select {
				case <-stop:
					took <- all
					return
				case <-time.After(2 * time.Millisecond):
				}
				begun := time.Now()
				if _, err := sys.Store.Create(b.Context(), draw()); err == nil {
					all = append(all, time.Since(begun))
				}
			}
		}()
		begun := time.Now()
		if _, err := backup.Write(b.Context(), sys, dir, backup.ByCopy); err != nil {
			b.Fatal(err)
		}
		written := time.Since(begun)
		close(stop)
		all := <-took
		slices.Sort(all)
		begun = time.Now()
		done, err := backup.Restore(b.Context(), where(), dir)
		if err != nil || done.Made < int64(n) {
			b.Fatalf("%+v, %v", done, err)
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/float64(done.Made), "restore-µs/job")
		b.ReportMetric(float64(written.Microseconds())/float64(done.Made), "backup-µs/job")
		if len(all) > 0 {
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "submit-p99-µs")
		}
	}
}
