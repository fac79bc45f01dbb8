package direct_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/direct"
	"longshore/handlers"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

type greeting struct {
	Name string `json:"name" maxLength:"20"`
}

var (
	greet = tasks.Definition[greeting]{Type: "test.greet", Lane: job.LaneIO, MaxAttempts: 1,
		Check: func(g greeting) error {
			if g.Name == "nobody" {
				return errors.New("there must be somebody")
			}
			return nil
		}}
	shout = tasks.Definition[greeting]{Type: "test.shout", Lane: job.LaneIO, Input: tasks.InputRequired}
	stay  = tasks.Definition[greeting]{Type: "test.stay", Lane: job.LaneIO}
)

// bench is an installation without a web process.
func bench(t *testing.T) (c *direct.Client, work func()) {
	t.Helper()
	where := direct.Connection{RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t), BlobURL: "file://" +
		t.TempDir()}
	c, err := direct.Open(t.Context(), direct.Config{Connection: where})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	var r handlers.Registry
	handlers.Add(&r, greet, func(_ context.Context, _ *handlers.Run, g greeting) (any, error) {
		if g.Name == "trouble" {
			return nil, handlers.Fail(errors.New("no\n\x1b[31m way"))
		}
		return "Hello, " + g.Name, nil
	})
	handlers.Add(&r, shout, func(ctx context.Context, run *handlers.Run, g greeting) (any, error) {
		in, err := run.Input(ctx)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		text, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		out, err := run.Output(ctx, "shout.txt", "text/plain")
		if err != nil {
			return nil, err
		}
		defer out.Abort()
		if _, err := io.WriteString(out, g.Name+": "+strings.ToUpper(string(text))); err != nil {
			return nil, err
		}
		return nil, out.Commit()
	})
	handlers.Add(&r, stay, func(ctx context.Context, _ *handlers.Run, _ greeting) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	return c, func() {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			ended <- worker.Run(ctx, worker.Config{Connection: where, ShutdownGrace: 3 * time.Second}, &r)
		}()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// codeIs reports whether an error is a refusal with the code of another.
func codeIs(err error, e *direct.Error) bool {
	var refused *direct.Error
	return errors.As(err, &refused) && refused.Code == e.Code
}

// TestLife takes jobs of definitions from their submission to their end, before and
// after a worker has published them.
func TestLife(t *testing.T) {
	t.Parallel()
	c, work := bench(t)
	ctx := t.Context()
	early, err := direct.Submit(ctx, c, greet, greeting{"Ada"}, direct.Submission{Priority: job.High})
	if err != nil || early.State != job.Queued || early.Priority != job.High {
		t.Fatalf("%+v, %v", early, err)
	}
	if _, err := direct.Submit(ctx, c, greet, greeting{"nobody"}, direct.Submission{}); err == nil ||
		!strings.Contains(err.Error(), "somebody") {
		t.Errorf("what the definition refuses: %v", err)
	}
	if _, err := c.Result(ctx, early.ID); !codeIs(err, &direct.Error{Code: client.Conflict}) {
		t.Errorf("the result of a job that has not ended: %v", err)
	}
	followed := make(chan []job.State)
	go func() {
		var states []job.State
		for snap, err := range c.Follow(ctx, early.ID) {
			if err != nil {
				t.Error(err)
			}
			states = append(states, snap.State)
		}
		followed <- states
	}()
	work()
	snap, err := c.Wait(ctx, early.ID)
	if err != nil || snap.State != job.Succeeded || string(snap.Result) != `"Hello, Ada"` {
		t.Errorf("%+v, %v", snap, err)
	}
	if states := <-followed; states[0] != job.Queued || states[len(states)-1] != job.Succeeded {
		t.Errorf("followed: %v", states)
	}
	// A file in, a file out.
	snap, err = direct.SubmitFile(ctx, c, shout, greeting{"Ada"}, direct.Submission{Filename: "in.txt"},
		strings.NewReader("quiet"), -1)
	if err == nil {
		snap, err = c.Wait(ctx, snap.ID)
	}
	if err != nil || len(snap.Outputs) != 1 {
		t.Fatalf("%+v, %v", snap, err)
	}
	for _, open := range []func() (*direct.File, error){
		func() (*direct.File, error) { return c.Output(ctx, snap.ID, "shout.txt") },
		func() (*direct.File, error) { return c.Result(ctx, snap.ID) },
	} {
		file, err := open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(file)
		if err != nil || string(text) != "Ada: QUIET" || file.Size != 10 || file.Name != "shout.txt" {
			t.Errorf("%q, %v", text, err)
		}
		file.Close()
	}
	if _, err := c.Output(ctx, snap.ID, "other"); !codeIs(err, &direct.Error{Code: client.NotFound}) {
		t.Errorf("an output that is not there: %v", err)
	}
	if err := c.Delete(ctx, snap.ID); err != nil {
		t.Error(err)
	}
	for _, err := range []error{second(c.Get(ctx, snap.ID)), second(c.Wait(ctx, snap.ID)),
		second(c.Cancel(ctx, snap.ID)), second(c.Retry(ctx, snap.ID)), c.Delete(ctx, snap.ID)} {
		if !codeIs(err, &direct.Error{Code: client.NotFound}) {
			t.Errorf("a job that is gone: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestCancelAndPoll ends a job that would not, and waits for many.
func TestCancelAndPoll(t *testing.T) {
	t.Parallel()
	c, work := bench(t)
	work()
	ctx := t.Context()
	long, err := direct.Submit(ctx, c, stay, greeting{"Ada"}, direct.Submission{})
	if err != nil {
		t.Fatal(err)
	}
	for snap, err := range c.Follow(ctx, long.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if snap.State == job.Running {
			break
		}
	}
	limited, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	if snap, err := c.Wait(limited, long.ID); !errors.Is(err, context.DeadlineExceeded) ||
		snap.State != job.Running {
		t.Errorf("a wait that ran out: %+v, %v", snap, err)
	}
	stop()
	if err := c.Delete(ctx, long.ID); !codeIs(err, &direct.Error{Code: client.Conflict}) {
		t.Errorf("deleting a job that runs: %v", err)
	}
	failing, err := direct.Submit(ctx, c, greet, greeting{"trouble"}, direct.Submission{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cancel(ctx, long.ID); err != nil {
		t.Fatal(err)
	}
	gone := job.NewID(time.Now())
	left := []job.ID{long.ID, failing.ID, gone}
	states, missing := map[job.ID]job.State{}, []job.ID(nil)
	for len(left) > 0 {
		ended, none, err := c.PollDone(ctx, left, 10*time.Second)
		if err != nil || len(ended)+len(none) == 0 {
			t.Fatalf("%v, %v, %v", ended, none, err)
		}
		missing = append(missing, none...)
		for _, snap := range ended {
			states[snap.ID] = snap.State
		}
		left = slices.DeleteFunc(left, func(id job.ID) bool {
			return states[id] != "" || slices.Contains(missing, id)
		})
	}
	if states[long.ID] != job.Canceled || states[failing.ID] != job.Failed || len(missing) != 1 ||
		missing[0] != gone {
		t.Errorf("%v, missing %v", states, missing)
	}
	snap, err := c.Get(ctx, failing.ID)
	if err != nil || snap.Error.Message != `no \u001b[31m way` {
		t.Errorf("the handler's message: %+v, %v", snap.Error, err)
	}
	if moved, _, err := c.Poll(ctx, []job.Rev{{ID: failing.ID, Rev: snap.Rev}}, 0); err != nil ||
		len(moved) != 0 {
		t.Errorf("nothing has moved: %v, %v", moved, err)
	}
	var failed []job.ID
	for snap, err := range c.List(ctx, direct.Filter{State: job.Failed}) {
		if err != nil {
			t.Fatal(err)
		}
		failed = append(failed, snap.ID)
	}
	if len(failed) != 1 || failed[0] != failing.ID {
		t.Errorf("failed: %v", failed)
	}
	again, err := c.Retry(ctx, failing.ID)
	if err != nil || again.RetryOf != failing.ID {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestBatch asks for many jobs, some of which are refused.
func TestBatch(t *testing.T) {
	t.Parallel()
	c, _ := bench(t)
	const n = 5000
	var jobs iter.Seq[direct.Submission] = func(yield func(direct.Submission) bool) {
		for i := range n {
			s := direct.Submission{Type: "math.primes", Payload: map[string]int{"n": i}}
			if i == 7 {
				s.Type = "no.such"
			}
			if !yield(s) {
				return
			}
		}
	}
	lines := map[int64]direct.BatchAnswer{}
	for a, err := range c.SubmitBatch(t.Context(), jobs) {
		if err != nil {
			t.Fatal(err)
		}
		lines[a.Line] = a
	}
	if len(lines) != n || lines[8].Code != client.Invalid || lines[9].ID == "" || lines[n].ID == "" {
		t.Errorf("%d answers; %+v", len(lines), lines[8])
	}
	for a, err := range c.SubmitLines(t.Context(),
		[][]byte{[]byte(`{"type":"math.primes","payload":{"n":1}}`), []byte(" "), []byte(`{`)}) {
		if err != nil || a.Line == 1 && a.ID == "" || a.Line == 3 && a.Code != client.Invalid || a.Line == 2 {
			t.Errorf("%+v, %v", a, err)
		}
		if a.Line == 1 {
			break
		}
	}
}

// TestWithoutRedis fails soon where nobody answers, and says whose fault it is.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	for url, settings := range map[string]bool{"redis://127.0.0.1:1": false, "ftp://x": true} {
		_, err := direct.Open(t.Context(),
			direct.Config{Connection: direct.Connection{RedisURL: url, BlobURL: "file://" + t.TempDir()}})
		if err == nil || errors.Is(err, direct.ErrSettings) != settings {
			t.Errorf("%s: %v", url, err)
		}
	}
	server := redistest.New(t)
	c, err := direct.Open(t.Context(),
		direct.Config{RetryFor: -1, Connection: direct.Connection{RedisURL: server.URL(), BlobURL: "file://" +
			t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), direct.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 1}}); !codeIs(err, &direct.Error{Code: client.Unavailable}) {
		t.Errorf("a submit: %v", err)
	}
	for _, err := range c.SubmitLines(t.Context(),
		[][]byte{[]byte(`{"type":"math.primes","payload":{"n":1}}`)}) {
		if !codeIs(err, &direct.Error{Code: client.Unavailable}) {
			t.Errorf("a batch: %v", err)
		}
	}
	if _, err := c.Wait(t.Context(), job.NewID(time.Now())); !codeIs(err,
		&direct.Error{Code: client.Unavailable}) {
		t.Errorf("a wait: %v", err)
	}
}
