package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

func TestChildSteersByError(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	snap := b.run(t, misdeed{Do: "later"}, 0)
	if snap.State != job.Succeeded || snap.Attempt != 1 || string(snap.Result) != `"later"` {
		t.Errorf("After: ended as %+v", snap)
	}
	snap = b.submit(t, submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"fail"}`), MaxAttempts: 2})
	snap = b.await(t, snap.ID, func(s job.Snapshot) bool {
		return s.State == job.Retrying || s.Attempt > 1 || s.Done
	})
	if snap.Done || snap.Errors[0].Code != job.HandlerError {
		t.Errorf("an error: %+v", snap)
	}
}

func TestChildHasNoSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	snap := b.run(t, misdeed{Do: "environment"}, 0)
	var environment []string
	if err := json.Unmarshal(snap.Result, &environment); err != nil || len(environment) < 2 {
		t.Fatalf("%s, %v", snap.Result, err)
	}
	for _, v := range environment {
		if strings.Contains(v, "REDIS") || strings.Contains(v, "TOKEN") {
			t.Errorf("child has %q", v)
		}
	}
}

// TestCancelStopsAChild holds that progress of a child is seen while it runs,
// and that a cancel stops a polite handler at once and a deaf one after the grace.
func TestCancelStopsAChild(t *testing.T) {
	t.Parallel()
	const grace = 500 * time.Millisecond
	b := setup(t, worker.Config{CPUConcurrency: 2, KillGrace: grace}, childHandlers())
	for do, most := range map[string]time.Duration{"obey": time.Second, "loop": grace + 2*time.Second} {
		snap := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"` + do + `"}`)})
		b.await(t, snap.ID, func(s job.Snapshot) bool {
			return s.State == job.Running && (do != "obey" || s.Progress != nil && s.Progress.Note == "waits")
		})
		asked := time.Now()
		if err := b.sys.Store.RequestCancel(t.Context(), snap.ID); err != nil {
			t.Fatal(err)
		}
		snap = b.await(t, snap.ID, ended)
		if snap.State != job.Canceled || time.Since(asked) > most {
			t.Errorf("%s ended as %s after %v", do, snap.State, time.Since(asked))
		}
	}
}

// lonely forbids overlap: its children live by renewals.
var lonely = tasks.Definition[misdeed]{Type: "test.lonely", Lane: job.LaneCPU, ForbidOverlap: true}

// TestRenewalsReachTheChild holds that a child which forbids overlap outlives
// the lease with which it began.
func TestRenewalsReachTheChild(t *testing.T) {
	t.Parallel()
	c := worker.Config{CPUConcurrency: 1}
	c.Lease = 2 * time.Second // so its watchdog barks after one
	b := setup(t, c, childHandlers())
	snap := b.submit(t, submit.Request{Type: lonely.Type, Payload: []byte(`{"do":"wait","n":2500}`)})
	snap = b.await(t, snap.ID, ended)
	if snap.State != job.Succeeded || snap.Usage.WallMS < 2500 {
		t.Errorf("ended as %s, %+v, %+v", snap.State, snap.Error, snap.Usage)
	}
}

// TestQuiet holds that a quiet worker takes nothing more, finishes what runs,
// stays listed as draining, and takes again when it is told.
func TestQuiet(t *testing.T) {
	t.Parallel()
	quiet := make(chan bool)
	b := setup(t, worker.Config{CPUConcurrency: 1, Quiet: quiet}, childHandlers())
	runs := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"wait","n":1000}`)})
	b.await(t, runs.ID, func(s job.Snapshot) bool { return s.State == job.Running })
	waits := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"pid"}`)})
	quiet <- true
	if snap := b.await(t, runs.ID, ended); snap.State != job.Succeeded {
		t.Errorf("the job that ran ended as %+v", snap)
	}
	if snap, err := b.sys.Store.Get(t.Context(), waits.ID); err != nil || snap.State != job.Queued {
		t.Errorf("the job that waits is %s, %v", snap.State, err)
	}
	draining := func(want bool) {
		t.Helper()
		for late := time.Now().Add(10 * time.Second); ; {
			if time.Now().After(late) {
				t.Fatalf("the worker is not listed with draining %v", want)
			}
			workers, err := b.sys.Queue.Workers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(workers) == 1 && workers[0].Draining == want {
				return
			}
		}
	}
	draining(true)
	quiet <- false
	if snap := b.await(t, waits.ID, ended); snap.State != job.Succeeded {
		t.Errorf("the job that waited ended as %+v", snap)
	}
	draining(false)
}

// TestDrainingIsListed holds that a worker that was told to end is listed until
// its last job has ended.
func TestDrainingIsListed(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	runs := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"wait","n":1500}`)})
	b.await(t, runs.ID, func(s job.Snapshot) bool { return s.State == job.Running })
	stopped := make(chan struct{})
	go func() {
		b.stop()
		close(stopped)
	}()
	seen := false
	for listed := true; listed; {
		workers, err := b.sys.Queue.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || len(workers) == 1 && workers[0].Draining
		select {
		case <-stopped:
			listed = false
		default:
		}
	}
	if workers, err := b.sys.Queue.Workers(t.Context()); !seen || err != nil || len(workers) > 0 {
		t.Errorf("seen draining: %v; listed at the end: %v, %v", seen, workers, err)
	}
}

// TestChildEnv holds that a handler of lane cpu has the variables that the
// program named, no others, and that their values are in no log.
func TestChildEnv(t *testing.T) {
	t.Parallel()
	log := &logged{}
	b := setup(t,
		worker.Config{
			Connection: worker.Connection{
				Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
			CPUConcurrency: 1, ChildEnv: []string{"TEST_DATABASE_URL", "TEST_ABSENT"}}, childHandlers())
	snap := b.run(t, misdeed{Do: "env"}, 0)
	if want := `{"other":"","url":"postgres://app:word@db/app"}`; snap.State != job.Succeeded ||
		string(snap.Result) != want {
		t.Errorf("ended as %s, %s, want %s", snap.State, snap.Result, want)
	}
	if text := log.String(); strings.Contains(text, "app:word") || !strings.Contains(text, "TEST_ABSENT") {
		t.Errorf("log has the value, or not the name that is not set:\n%s", text)
	}
	for _, name := range []string{"", "A=B", "LONGSHORE_CHILD", "LONGSHORE_FAMILY", "A\x00"} {
		err := worker.Run(t.Context(), worker.Config{Connection: b.where, ChildEnv: []string{name}},
			childHandlers())
		if !errors.Is(err, worker.ErrSettings) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestJobEndIsLogged holds the one line of a job that has ended.
func TestJobEndIsLogged(t *testing.T) {
	t.Parallel()
	log := &logged{}
	b := setup(t, worker.Config{Connection: worker.Connection{Log: slog.New(slog.NewJSONHandler(log, nil))},
		CPUConcurrency: 1}, childHandlers())
	good := b.run(t, misdeed{Do: "pid"}, 0)
	bad := b.run(t, misdeed{Do: "exit"}, 0)
	b.stop() // what is told is told
	lines := map[string]map[string]any{}
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["msg"] == "job ended" {
			lines[fields["job_id"].(string)] = fields
		}
	}
	for _, snap := range []job.Snapshot{good, bad} {
		line := lines[string(snap.ID)]
		if line["type"] != snap.Type || line["state"] != string(snap.State) ||
			line["attempt"] != float64(snap.Attempt) ||
			line["run_ms"] != float64(snap.Usage.WallMS) ||
			line["rss_bytes"] != float64(snap.Usage.PeakRSSBytes) ||
			line["cpu_ms"] != float64(snap.Usage.CPUMS) {
			t.Errorf("%+v is told as %v", snap, line)
		}
		if wait, ok := line["wait_ms"].(float64); !ok || wait < 0 || wait > 60_000 {
			t.Errorf("wait_ms of %s is %v", snap.ID, line["wait_ms"])
		}
	}
	if code := lines[string(bad.ID)]["code"]; code != string(bad.Error.Code) ||
		lines[string(good.ID)]["code"] != nil {
		t.Errorf("codes: %v", lines)
	}
}

// logged is a log that is written while it is read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestForgottenMain holds that types of lane cpu which children don't know are
// refused at the start.
func TestForgottenMain(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	handlers.Add(&r, tasks.Definition[word]{Type: "test.unknown", Lane: job.LaneCPU},
		func(context.Context, *handlers.Run, word) (any, error) { return nil, nil })
	where := worker.Connection{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t), BlobURL: "file://" +
		t.TempDir()}
	err := worker.Run(t.Context(), worker.Config{Connection: where}, &r)
	if !errors.Is(err, worker.ErrSettings) || !strings.Contains(err.Error(), "worker.Main") ||
		!strings.Contains(err.Error(), "test.unknown") {
		t.Errorf("err is %v", err)
	}
}
