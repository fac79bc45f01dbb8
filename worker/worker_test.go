package worker_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

func TestMain(m *testing.M) {
	worker.Main(childHandlers())
	os.Setenv("TEST_DATABASE_URL", "postgres://app:word@db/app") // what TestChildEnv passes on
	os.Setenv("TEST_OTHER_URL", "not for children")
	redistest.Main(m)
}

// bench is one installation with a worker and a submitter.
type bench struct {
	where     worker.Connection
	sys       *connect.System
	submitter *submit.Submitter
	stop      func() // drains the worker
}

type word struct {
	Word string `json:"word,omitempty"`
}

// setup starts a worker with handlers and everything around it; it is drained
// at the test's end.
func setup(t *testing.T, c worker.Config, r *handlers.Registry) bench {
	t.Helper()
	c.Connection = connect.Config{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t),
		BlobURL: "file://" + t.TempDir(), Lease: c.Lease, Log: c.Log}
	sys, err := connect.Open(t.Context(), c.Connection)
	if err != nil {
		t.Fatal(err)
	}
	keeper := jobstore.NewKeeper(sys.Store, sys.Log)
	ctx, end := context.WithCancel(context.Background())
	kept := make(chan error, 1)
	go func() { kept <- keeper.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := errors.Join(<-kept, sys.Close()); err != nil {
			t.Error(err)
		}
	})
	stop := serve(t, c, r)
	var infos []tasks.Info
	for _, name := range r.Types() {
		e, _ := r.Lookup(name)
		infos = append(infos, e.Info)
	}
	catalog, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	return bench{c.Connection, sys, sys.Submitter(keeper, catalog, time.Hour, 0), stop}
}

// serve starts a worker and returns what drains it; the test's end does so too.
func serve(t *testing.T, c worker.Config, r *handlers.Registry) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	c.Ready = func() { close(ready) }
	go func() { done <- worker.Run(ctx, c, r) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return stop
}

func (b bench) submit(t *testing.T, r submit.Request) job.Snapshot {
	t.Helper()
	snap, _, err := b.submitter.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// await returns the job as soon as ok says so.
func (b bench) await(t *testing.T, id job.ID, ok func(job.Snapshot) bool) job.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	changed := make(chan struct{}, 1)
	again := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	go b.sys.Store.Listen(ctx, func(r job.Rev) {
		if r.ID == id {
			again()
		}
	}, again)
	for {
		snap, err := b.sys.Store.Get(ctx, id)
		if err != nil {
			t.Fatalf("%v; last seen %+v", err, snap)
		}
		if ok(snap) {
			return snap
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited in vain; job is %+v", snap)
		}
	}
}

func ended(s job.Snapshot) bool { return s.Done }

func TestRunsAJob(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	handlers.Add(&r, tasks.Definition[word]{Type: "test.echo", Lane: job.LaneIO},
		func(ctx context.Context, run *handlers.Run, p word) (any, error) {
			return map[string]string{"echo": p.Word}, nil
		})
	b := setup(t, worker.Config{}, &r)
	snap := b.submit(t, submit.Request{Type: "test.echo", Payload: []byte(`{"word":"ahoy"}`)})
	snap = b.await(t, snap.ID, ended)
	if snap.State != job.Succeeded || string(snap.Result) != `{"echo":"ahoy"}` || snap.Attempt != 1 {
		t.Errorf("job ended as %+v", snap)
	}
}

func TestInputBecomesOutput(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{}, handlers.BuiltIn())
	snap := b.submit(t, submit.Request{Type: "file.compress",
		Input: strings.NewReader(strings.Repeat("longshore ", 1000)), InputSize: -1})
	snap = b.await(t, snap.ID, ended)
	if snap.State != job.Succeeded || len(snap.Outputs) != 1 || snap.Progress.BytesDone != 10000 {
		t.Errorf("job ended as %+v", snap)
	}
}

// TestCancelStopsARun holds that the doorbell, and not the end of the lease,
// stops a run: long before the fallback would.
func TestCancelStopsARun(t *testing.T) {
	t.Parallel()
	var r handlers.Registry
	stopped := make(chan error, 1)
	handlers.Add(&r, tasks.Definition[word]{Type: "test.endless", Lane: job.LaneIO},
		func(ctx context.Context, run *handlers.Run, p word) (any, error) {
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		})
	b := setup(t, worker.Config{}, &r)
	snap := b.submit(t, submit.Request{Type: "test.endless"})
	b.await(t, snap.ID, func(s job.Snapshot) bool { return s.State == job.Running })
	asked := time.Now()
	if _, err := b.sys.Store.Cancel(t.Context(), snap.ID); err != nil {
		t.Fatal(err)
	}
	snap = b.await(t, snap.ID, ended)
	if took := time.Since(asked); took > 15*time.Second {
		t.Errorf("the run ended only after %v", took)
	}
	if cause := <-stopped; !errors.Is(cause, jobstore.ErrCanceled) || snap.State != job.Canceled ||
		snap.Attempt != 1 {
		t.Errorf("cause %v, job ended as %+v", cause, snap)
	}
}
