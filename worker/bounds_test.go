package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// TestMaxOutput holds that a run writes only so much, all its outputs together,
// and that what it throws away doesn't count.
func TestMaxOutput(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	write := func(ctx context.Context, run *handlers.Run, name string, size int, keep bool) error {
		out, err := run.Output(ctx, name, "")
		if err != nil {
			return err
		}
		defer out.Abort()
		if _, err := out.Write(make([]byte, size)); err != nil || !keep {
			return err
		}
		return out.Commit()
	}
	plain(&r, "test.within", 0, func(ctx context.Context, run *handlers.Run) (any, error) {
		return nil, errors.Join(write(ctx, run, "a", 600, false), write(ctx, run, "b", 600, true),
			write(ctx, run, "c", 400, true))
	})
	plain(&r, "test.beyond", 0, func(ctx context.Context, run *handlers.Run) (any, error) {
		return nil, errors.Join(write(ctx, run, "a", 600, true), write(ctx, run, "b", 401, true))
	})
	b := setup(t, worker.Config{MaxOutput: 1000}, &r)
	if snap := b.await(t, b.submit(t, submit.Request{Type: "test.within"}).ID,
		ended); snap.State != job.Succeeded || len(snap.Outputs) != 2 {
		t.Errorf("within: %+v", snap)
	}
	if snap := b.await(t, b.submit(t, submit.Request{Type: "test.beyond"}).ID,
		ended); snap.State != job.Failed || snap.Error.Code != job.OutputLimit || snap.Attempt != 1 {
		t.Errorf("beyond: %+v", snap)
	}
}

// TestLeftBehind holds that a worker which handlers have left too much behind
// ends, lets others end first, and says why.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	free, going := make(chan struct{}), make(chan struct{})
	defer close(free)
	plain(&r, "test.deaf", 20*time.Millisecond, func(context.Context, *handlers.Run) (any, error) {
		<-free
		return nil, nil
	})
	plain(&r, "test.honest", 0, func(ctx context.Context, _ *handlers.Run) (any, error) {
		close(going)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	c := worker.Config{LeftBehind: 2, KillGrace: 10 * time.Millisecond, ShutdownGrace: 2 * time.Second}
	c.Connection = connect.Config{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t),
		BlobURL: "file://" + t.TempDir()}
	sys, err := connect.Open(t.Context(), c.Connection)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	var infos []tasks.Info
	for _, name := range r.Types() {
		e, _ := r.Lookup(name)
		infos = append(infos, e.Info)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(t.Context(), c, &r) }()
	b := bench{sys: sys, submitter: sys.Submitter(nil, catalog, time.Hour, 0)}
	honest := b.submit(t, submit.Request{Type: "test.honest"})
	<-going
	for range 2 {
		b.submit(t, submit.Request{Type: "test.deaf", MaxAttempts: 1})
	}
	select {
	case err := <-ended:
		if !errors.Is(err, worker.ErrLeftBehind) {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the worker goes on")
	}
	if snap, err := sys.Store.Get(t.Context(), honest.ID); err != nil || snap.State != job.Queued ||
		snap.Attempt != 0 {
		t.Errorf("the honest job: %+v, %v", snap, err)
	}
}
