package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/tooltest"
	"longshore/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is what a set says.
func text(t testing.TB, s *Set, accept string) string {
	t.Helper()
	b, _, err := s.Text(t.Context(), accept)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// promtool checks a text as Prometheus' own tool does.
func promtool(t *testing.T, text string) {
	t.Helper()
	cmd := exec.Command(tooltest.Path(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// TestJobs counts some jobs and reads what Prometheus would.
func TestJobs(t *testing.T) {
	t.Parallel()
	s := NewProcess()
	j := s.Jobs()
	calls := s.Calls("redis", "Redis")
	s.Gauge("longshore_waiters", "Waiters.", func() float64 { return 7 })
	s.Counter("longshore_steps_total", "Steps.", func() float64 { return 8 }, "lane", "io")
	j.Began(job.LaneIO, job.High, -time.Second)
	j.Began(job.LaneIO, job.High, 20*time.Millisecond)
	j.Ended("a.b", job.Succeeded, "", 50*time.Millisecond)
	j.Ended("a.b", job.Retrying, job.Timeout, 100*time.Hour)
	j.Ended("a.b", job.Failed, "text of a stranger", time.Second)
	calls.Done(time.Millisecond, nil)
	calls.Done(2*time.Second, errors.New("x"))
	got := text(t, s, "")
	for _, want := range []string{
		`longshore_job_wait_seconds_bucket{lane="io",priority="high",le="0.001"} 1`,
		`longshore_job_wait_seconds_bucket{lane="io",priority="high",le="0.0215"} 2`,
		`longshore_job_wait_seconds_sum{lane="io",priority="high"} 0.02`,
		`longshore_job_run_seconds_bucket{type="a.b",le="0.1"} 1`,
		`longshore_job_run_seconds_bucket{type="a.b",le="+Inf"} 3`,
		`longshore_attempts_total{code="",state="succeeded",type="a.b"} 1`,
		`longshore_attempts_total{code="timeout",state="retrying",type="a.b"} 1`,
		`longshore_attempts_total{code="other",state="failed",type="a.b"} 1`,
		`longshore_redis_seconds_count 2`, `longshore_redis_errors_total 1`, `longshore_waiters 7`,
		`longshore_steps_total{lane="io"} 8`,
		`go_goroutines `, `process_resident_memory_bytes `, `go_build_info{`,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("%q is not there", want)
		}
	}
	if n := strings.Count(got, "longshore_job_run_seconds_bucket"); n > 13 {
		t.Errorf("%d buckets", n)
	}
	promtool(t, got)
	if open := text(t, s, "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(open,
		"# EOF\n") {
		t.Errorf("OpenMetrics ends with %q", open[max(0, len(open)-20):])
	}
	var none *Jobs
	none.Began(job.LaneIO, job.High, 0)
	none.Ended("a.b", job.Succeeded, "", 0)
}

// TestCardinality holds that what comes from outside adds no series: 1,000 types, 5,000
// codes and 100,000 jobs are as many as 101 types with all codes.
func TestCardinality(t *testing.T) {
	t.Parallel()
	s := NewProcess()
	j := s.Jobs()
	for i := range 100_000 {
		j.Ended(fmt.Sprintf("type.n%d", i%1000), job.Failed, job.Code(fmt.Sprintf("error %d", i%5000)),
			time.Second)
	}
	first := text(t, s, "")
	if n := strings.Count(first, "\nlongshore_attempts_total{"); n != maxTypes+1 {
		t.Errorf("%d series, want %d", n, maxTypes+1)
	}
	if len(first) > 200<<10 {
		t.Errorf("%d KiB", len(first)>>10)
	}
	if !strings.Contains(first, `longshore_attempts_total{code="other",state="failed",type="other"} 90000`) {
		t.Error("the other types are not counted as one")
	}
	promtool(t, first)
}

// fill counts what fifty types would have, each with five ways to end.
func fill(j *Jobs) {
	for i := range 50 {
		for n := range 5 {
			j.Ended(fmt.Sprintf("type.n%d", i), job.Failed, job.Codes[n], time.Duration(n)*time.Second)
		}
		j.Began(job.Lanes[i%2], job.Priorities[i%3], time.Second)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	s := NewProcess()
	fill(s.Jobs())
	if n := len(text(t, s, "")); n > 200<<10 {
		t.Errorf("%d KiB with fifty types", n>>10)
	}
}

// TestKept asks a set again and again: it is made once a second, and an error is not kept.
func TestKept(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	s := NewInstallation(func(context.Context) (Installation, error) {
		if looks.Add(1) == 1 {
			return Installation{}, errors.New("away")
		}
		return Installation{Jobs: 3}, nil
	})
	if _, _, err := s.Text(t.Context(), ""); err == nil || err.Error() != "away" {
		t.Fatalf("%v", err)
	}
	begun := time.Now()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, _, err := s.Text(t.Context(), ""); err != nil ||
				!strings.Contains(string(got), "\nlongshore_jobs 3\n") {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := looks.Load(); n > 2+2*int64(time.Since(begun)/keepFor+1) {
		t.Errorf("looked %d times", n)
	}
}

// TestInstallation reads the numbers of an installation.
func TestInstallation(t *testing.T) {
	t.Parallel()
	parked := map[string]int64{}
	for i := range 150 {
		parked[fmt.Sprintf("type.n%d", i)] = 2
	}
	s := NewInstallation(func(context.Context) (Installation, error) {
		return Installation{Jobs: 10, Foreign: 50, Queues: []Queue{
			{Lane: job.LaneIO, Priority: job.High, Name: "default", Waiting: 300, Running: 2, Oldest: 1500 * time.Millisecond,
				Paused: true, Parked: parked},
			{Lane: job.LaneCPU, Priority: job.Low, Name: "mailers"}},
			Workers: map[string]int{"taking": 2, "draining": 0}, Slots: map[job.Lane]int{job.LaneIO: 16},
			RedisUsed: 1000, BlobsTotal: 50}, nil
	})
	got := text(t, s, "")
	for _, want := range []string{
		`longshore_jobs 10`, `longshore_foreign_tasks 50`, `longshore_queue_waiting{lane="io",priority="high",queue="default"} 300`,
		`longshore_queue_running{lane="io",priority="high",queue="default"} 2`,
		`longshore_queue_oldest_seconds{lane="io",priority="high",queue="default"} 1.5`,
		`longshore_queue_paused{lane="io",priority="high",queue="default"} 1`,
		`longshore_queue_waiting{lane="cpu",priority="low",queue="mailers"} 0`, `longshore_workers{state="draining"} 0`,
		`longshore_slots{lane="io"} 16`,
		`longshore_queue_parked{lane="io",type="other"} 100`, `longshore_redis_memory_bytes 1000`,
		`longshore_blobs_free_bytes 0`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("%q is not there", want)
		}
	}
	if strings.Contains(got, "limit_bytes") || strings.Contains(got, "go_goroutines") {
		t.Error("it has numbers that it doesn't know, or a process's")
	}
	if n := strings.Count(got, "\nlongshore_queue_parked{"); n != maxTypes+1 {
		t.Errorf("%d parked series", n)
	}
	promtool(t, got)
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var d Durations
	if d.Quantile(0.99) != 0 {
		t.Error("nothing has a quantile")
	}
	for range 99 {
		d.Add(10 * time.Millisecond)
	}
	d.Add(time.Hour)
	if q := d.Quantile(0.99); q < 10*time.Millisecond || q > 15*time.Millisecond {
		t.Errorf("p99 %v", q)
	}
	if q := d.Quantile(1); q < time.Hour || q > 90*time.Minute {
		t.Errorf("p100 %v", q)
	}
}

// TestServe serves at a port that is in use at first.
func TestServe(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done, warned := make(chan struct{}), make(chan struct{})
	log := slog.New(slog.NewTextHandler(onWrite(sync.OnceFunc(func() { close(warned) })), nil))
	go func() {
		defer close(done)
		NewProcess().Serve(ctx, l.Addr().String(), log)
	}()
	<-warned
	l.Close()
	for { // it tries again after some seconds
		resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
		if err != nil {
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-t.Context().Done():
				t.Fatal(err)
			}
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), "go_goroutines") ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Errorf("%s, %v", resp.Header, err)
		}
		break
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	<-done
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// TestNoAllocations holds that a job's way allocates nothing, whether it is counted or not.
func TestNoAllocations(t *testing.T) {
	j := NewProcess().Jobs()
	for name, j := range map[string]*Jobs{"on": j, "off": nil} {
		j.Ended("a.b", job.Failed, job.Timeout, 0)
		if n := testing.AllocsPerRun(1000, func() {
			j.Began(job.LaneIO, job.High, time.Second)
			j.Ended("a.b", job.Failed, job.Timeout, time.Second)
		}); n != 0 {
			t.Errorf("%s: %v allocations a job", name, n)
		}
	}
}

// BenchmarkJob is what counting one job costs: at most 0.3 µs.
func BenchmarkJob(b *testing.B) {
	for name, j := range map[string]*Jobs{"on": NewProcess().Jobs(), "off": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j.Began(job.LaneIO, job.High, 20*time.Millisecond)
				j.Ended("file.checksum", job.Succeeded, "", 5*time.Millisecond)
			}
		})
	}
}

// BenchmarkScrape is one answer with fifty types: at most 5 ms.
func BenchmarkScrape(b *testing.B) {
	s := NewProcess()
	fill(s.Jobs())
	for b.Loop() {
		clear(s.kept)
		text(b, s, "")
	}
}
