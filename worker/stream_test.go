package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// plain adds a type of lane io that does what the function does.
func plain(r *handlers.Registry, name string, timeout time.Duration,
	do func(ctx context.Context, run *handlers.Run) (any, error)) {
	handlers.Add(r, tasks.Definition[word]{Type: name, Lane: job.LaneIO, Timeout: timeout, MaxAttempts: 3},
		func(ctx context.Context, run *handlers.Run, _ word) (any, error) { return do(ctx, run) })
}

// TestWhatHandlersReturn follows a handler's return value to what the client sees.
func TestWhatHandlersReturn(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	var tries, visits atomic.Int64
	plain(&r, "test.flaky", 0, func(context.Context, *handlers.Run) (any, error) {
		if tries.Add(1) < 3 {
			return nil, errors.New("not yet")
		}
		return "at last", nil
	})
	plain(&r, "test.hopeless", 0, func(context.Context, *handlers.Run) (any, error) {
		return nil, handlers.FailWith(job.CorruptInput, errors.New("line 7 is no line"))
	})
	plain(&r, "test.later", 0, func(context.Context, *handlers.Run) (any, error) {
		if visits.Add(1) == 1 {
			return nil, handlers.After(50 * time.Millisecond)
		}
		return visits.Load(), nil
	})
	plain(&r, "test.panic", 0, func(context.Context, *handlers.Run) (any, error) {
		panic("secret of the house")
	})
	plain(&r, "test.slow", 30*time.Millisecond, func(ctx context.Context, _ *handlers.Run) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	plain(&r, "test.half", 0, func(ctx context.Context, run *handlers.Run) (any, error) {
		out, err := run.Output(ctx, "half.txt", "text/plain")
		if err != nil {
			return nil, err
		}
		if _, err := out.Write([]byte("half")); err != nil {
			return nil, err
		}
		if err := out.Commit(); err != nil {
			return nil, err
		}
		return nil, handlers.Fail(errors.New("and then it broke"))
	})
	b := setup(t, worker.Config{}, &r)

	run := func(typ string, attempts int) job.Snapshot {
		return b.await(t, b.submit(t, submit.Request{Type: typ, MaxAttempts: attempts}).ID, ended)
	}
	if snap := run("test.flaky", 3); snap.State != job.Succeeded || snap.Attempt != 3 ||
		len(snap.Errors) != 2 || snap.Errors[0].Message != "not yet" {
		t.Errorf("flaky: %+v", snap)
	}
	if snap := run("test.hopeless", 3); snap.State != job.Failed || snap.Attempt != 1 ||
		snap.Error.Code != job.CorruptInput || snap.Error.Message != "line 7 is no line" {
		t.Errorf("hopeless: %+v", snap)
	}
	if snap := run("test.later", 1); snap.State != job.Succeeded || snap.Attempt != 1 ||
		string(snap.Result) != "2" || len(snap.Errors) != 0 {
		t.Errorf("later: %+v", snap)
	}
	if snap := run("test.panic", 1); snap.State != job.Failed ||
		strings.Contains(snap.Error.Message, "secret") {
		t.Errorf("panic: %+v", snap)
	}
	if snap := run("test.slow", 1); snap.State != job.Failed || snap.Error.Code != job.Timeout {
		t.Errorf("slow: %+v", snap)
	}
	snap := run("test.half", 1)
	if snap.State != job.Failed || len(snap.Outputs) != 0 {
		t.Errorf("half: %+v", snap)
	}
	b.stop() // the worker deletes after it has recorded the end
	for name, err := range b.sys.Blobs.Jobs(t.Context(), time.Now().Add(time.Hour)) {
		if name != "installation" { // what is kept of it
			t.Errorf("a failed run left blobs of %s, %v", name, err)
		}
	}
}

// TestDrainGivesBack holds that a worker that stops neither waits for ever nor
// lets a job pay for it.
func TestDrainGivesBack(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	plain(&r, "test.endless", 0, func(ctx context.Context, _ *handlers.Run) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	b := setup(t, worker.Config{}, &r)
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	short := worker.Config{Connection: b.where, ShutdownGrace: time.Second, KillGrace: 100 * time.Millisecond,
		StreamConcurrency: 2, Ready: func() { close(ready) }}
	first := b.submit(t, submit.Request{Type: "test.endless"})
	b.await(t, first.ID, func(s job.Snapshot) bool { return s.State == job.Running })
	// The second worker takes what the first one has no slot for: it has one only.
	go func() { done <- worker.Run(ctx, short, &r) }()
	<-ready
	for range 16 * 2 { // more than the first worker's slots
		b.submit(t, submit.Request{Type: "test.endless"})
	}
	stop()
	began := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > short.ShutdownGrace+20*time.Second {
		t.Errorf("the drain took %v", took)
	}
	page, err := b.sys.Store.List(t.Context(), job.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, snap := range page.Jobs {
		if snap.Done || len(snap.Errors) > 0 || snap.Attempt > 1 {
			t.Errorf("a job paid for the drain: %+v", snap)
		}
		if _, err := b.sys.Store.Cancel(t.Context(), snap.ID); err != nil {
			t.Error(err)
		}
	}
}

// TestTypeNobodyServes holds that a job whose handler is missing here waits for
// a worker that has one, and does not fail.
func TestTypeNobodyServes(t *testing.T) {
	t.Parallel()
	var here, there handlers.Registry
	plain(&here, "test.here", 0, func(context.Context, *handlers.Run) (any, error) { return 1, nil })
	plain(&there, "test.there", 0, func(context.Context, *handlers.Run) (any, error) { return 1, nil })
	b := setup(t, worker.Config{}, &here)
	e, _ := there.Lookup("test.there")
	if err := b.submitter.Catalog.Add(e.Info); err != nil {
		t.Fatal(err)
	}
	snap := b.submit(t, submit.Request{Type: "test.there"})
	for parked := false; !parked; { // bounded by the test's own deadline
		queues, err := b.sys.Queue.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queues {
			parked = parked || len(q.Parked) == 1 && q.Parked[0].Type == "test.there" &&
				q.Parked[0].Pending == 1
		}
	}
	if now, err := b.sys.Store.Get(t.Context(), snap.ID); err != nil || now.State != job.Queued ||
		now.Attempt != 0 {
		t.Errorf("job is %+v (%v), want it queued and not tried", now, err)
	}
	serve(t, worker.Config{Connection: b.where}, &there)
	b.await(t, snap.ID, func(s job.Snapshot) bool { return s.State == job.Succeeded })
}
