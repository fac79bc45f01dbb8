package asynqjobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"longshore/handlers"
	"longshore/internal/asynqtask"
	"longshore/job"
	"longshore/tasks"
)

// served is the entry of one type that a handler serves.
func served(tb testing.TB, h asynq.HandlerFunc, c Config) handlers.Entry {
	tb.Helper()
	if c.Server.Logger == nil {
		c.Server.Logger = nobody{}
	}
	var r handlers.Registry
	Add(&r, h, c, "email:welcome")
	if err := r.Err(); err != nil {
		tb.Fatal(err)
	}
	e, ok := r.Lookup("email:welcome")
	if !ok || e.Info.MaxAttempts != 26 || e.Info.Timeout() != 30*time.Minute {
		tb.Fatalf("%+v", e.Info)
	}
	return e
}

func payloadOf(tb testing.TB, t asynqtask.Task) []byte {
	tb.Helper()
	t.Type = "email:welcome"
	j, err := t.Job(time.Now(), time.Time{})
	if err != nil {
		tb.Fatal(err)
	}
	return j.Payload
}

const drawn = "4b0f5c1e-8c3a-4d35-9c53-8a0a4c2f1f10"

// TestContext holds that a handler sees what asynq would have told it.
func TestContext(t *testing.T) {
	t.Parallel()
	run := &handlers.Run{ID: job.NewID(time.Now()), Type: "email:welcome", Attempt: 3, MaxAttempts: 6,
		Priority: job.High, Deadline: time.Now().Add(time.Minute)}
	soon := time.Unix(time.Now().Add(30*time.Second).Unix(), 0)
	type key struct{}
	for name, c := range map[string]struct {
		task     asynqtask.Task
		id       string
		retried  int
		deadline time.Time
	}{
		"as it is": {asynqtask.Task{ID: drawn, Payload: []byte(`{"user":7}`)}, string(run.ID), 2, run.Deadline},
		"all": {asynqtask.Task{ID: "order 7", Payload: []byte("\xff"), Retried: 4, Retry: 9, Deadline: soon,
			Headers: map[string]string{"trace": "4711"}}, "order 7", 6, soon},
		"empty": {asynqtask.Task{ID: drawn}, string(run.ID), 2, run.Deadline},
	} {
		e := served(t, func(ctx context.Context, task *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			retried, _ := asynq.GetRetryCount(ctx)
			most, _ := asynq.GetMaxRetry(ctx)
			queue, _ := asynq.GetQueueName(ctx)
			deadline, _ := ctx.Deadline()
			if id != c.id || task.ResultWriter().TaskID() != c.id || retried != c.retried ||
				most != c.retried+3 || queue != "critical" || !deadline.Equal(c.deadline) {
				t.Errorf("%s: id %q, %d of %d retries, queue %q, until %v", name, id, retried, most, queue, deadline)
			}
			if string(task.Payload()) != string(c.task.Payload) || task.Headers()["trace"] != c.task.Headers["trace"] {
				t.Errorf("%s: %q, %q", name, task.Payload(), task.Headers())
			}
			if RunOf(ctx) != run || ctx.Value(key{}) != "run" || ctx.Err() != nil {
				t.Errorf("%s: its run is %v, %v", name, RunOf(ctx), ctx.Err())
			}
			return nil
		}, Config{})
		result, err := e.Run(context.WithValue(t.Context(), key{}, "run"), run, payloadOf(t, c.task))
		if result != nil || err != nil {
			t.Errorf("%s: %q, %v", name, result, err)
		}
	}
}

// TestVerdicts says what each way to end means for the job.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	quiet := errors.New("not now")
	told := make(chan error, 20)
	c := Config{Server: asynq.Config{
		RetryDelayFunc: func(n int, err error, _ *asynq.Task) time.Duration {
			return time.Duration(n)*time.Second + 1500*time.Millisecond
		},
		IsFailure: func(err error) bool { return !errors.Is(err, quiet) },
		ErrorHandler: asynq.ErrorHandlerFunc(func(_ context.Context, _ *asynq.Task, err error) {
			told <- err
		}),
	}}
	var end func(*asynq.Task) error
	e := served(t, func(_ context.Context, task *asynq.Task) error { return end(task) }, c)
	write := func(text string) func(*asynq.Task) error {
		return func(task *asynq.Task) error {
			_, err := task.ResultWriter().Write([]byte(text))
			return err
		}
	}
	fails := func(err error) func(*asynq.Task) error { return func(*asynq.Task) error { return err } }
	for name, c := range map[string]struct {
		end     func(*asynq.Task) error
		attempt int
		result  string
		failure handlers.Failure
		err     string
		later   time.Duration
		told    bool
	}{
		"nil":       {end: fails(nil)},
		"json":      {end: write(`{"sent":1}`), result: `{"sent":1}`},
		"text":      {end: write("sent"), result: `"sent"`},
		"bytes":     {end: write("\xff"), result: `{"base64":"/w=="}`},
		"error":     {end: fails(trouble), failure: handlers.Failure{Delay: 1500 * time.Millisecond}, err: "trouble", told: true},
		"second":    {end: fails(trouble), attempt: 2, failure: handlers.Failure{Delay: 2500 * time.Millisecond}, err: "trouble", told: true},
		"last":      {end: fails(trouble), attempt: 3, failure: handlers.Failure{Final: true}, err: "trouble", told: true},
		"skip":      {end: fails(fmt.Errorf("%w: %w", trouble, asynq.SkipRetry)), failure: handlers.Failure{Final: true}, err: "trouble: skip retry for the task", told: true},
		"no defeat": {end: fails(quiet), later: 1500 * time.Millisecond, told: true},
		"revoke":    {end: fails(asynq.RevokeTask), err: "the handler cancels the job: revoke task", told: true},
		"panic":     {end: func(*asynq.Task) error { panic("dear me") }, failure: handlers.Failure{Delay: -1}, err: "dear me", told: true},
	} {
		end = c.end
		run := &handlers.Run{ID: job.NewID(time.Now()), Type: "email:welcome", Attempt: max(c.attempt, 1), MaxAttempts: 3}
		result, err := e.Run(t.Context(), run, []byte("{}"))
		var failure *handlers.Failure
		var later *handlers.Postponement
		switch {
		case c.later > 0:
			if !errors.As(err, &later) || later.Delay != c.later {
				t.Errorf("%s: %v", name, err)
			}
		case name == "revoke":
			if !errors.Is(err, handlers.ErrCancel) || err.Error() != c.err {
				t.Errorf("%s: %v", name, err)
			}
		case c.err == "":
			if err != nil || string(result) != c.result {
				t.Errorf("%s: %s, %v", name, result, err)
			}
		case !errors.As(err, &failure), failure.Final != c.failure.Final,
			!strings.Contains(err.Error(), c.err),
			c.failure.Delay >= 0 && failure.Delay != c.failure.Delay,
			c.failure.Delay < 0 && failure.Delay > 4*time.Second:
			t.Errorf("%s: %+v", name, err)
		}
		if c.told {
			if err := <-told; name == "error" && err != trouble || //nolint:errorlint // it is the very error
				name == "panic" && !asynq.IsPanicError(err) {
				t.Errorf("%s: the error handler is told %v", name, err)
			}
		}
	}
}

// TestEnds holds that a run ends when the job's does, with asynq's own words for it, and that two runs of
// one id don't meet.
func TestEnds(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 2)
	e := served(t, func(ctx context.Context, _ *asynq.Task) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}, Config{})
	cause := errors.New("the worker shuts down")
	payload := payloadOf(t, asynqtask.Task{ID: "order 7"})
	run := &handlers.Run{ID: job.NewID(time.Now()), Type: "email:welcome", Attempt: 1, MaxAttempts: 2}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() { _, err := e.Run(ctx, run, payload); ended <- err }()
		<-began
	}
	cancel(cause)
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a run that is cut: %v", err)
		}
	}
	// The task's own deadline ends it too, and once it is over nothing begins.
	deadline := time.Unix(time.Now().Unix()+2, 0)
	payload = payloadOf(t, asynqtask.Task{ID: "order 8", Deadline: deadline})
	if _, err := e.Run(t.Context(), run, payload); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run over its deadline: %v", err)
	}
	<-began
	var failure *handlers.Failure
	if _, err := e.Run(t.Context(), run, payload); !errors.As(err, &failure) || !failure.Final ||
		failure.Code != job.Timeout || len(began) > 0 {
		t.Errorf("a run after its deadline: %v", err)
	}
	if _, err := e.Run(t.Context(), run, []byte(`{"asynq":7}`)); !errors.As(err, &failure) || !failure.Final {
		t.Errorf("an envelope that is none: %v", err)
	}
	if _, err := e.Run(ctx, run, []byte("{}")); err == nil {
		t.Error("a run begins that was told to end")
	}
}

// TestMux has a mux's middleware around a handler, and what it doesn't serve is an error of the attempt.
func TestMux(t *testing.T) {
	t.Parallel()
	type key struct{}
	mux := asynq.NewServeMux()
	mux.Use(func(next asynq.Handler) asynq.Handler {
		return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
			return next.ProcessTask(context.WithValue(ctx, key{}, "middle"), task)
		})
	})
	mux.HandleFunc("email:", func(ctx context.Context, task *asynq.Task) error {
		_, err := fmt.Fprintf(task.ResultWriter(), "%s %s", task.Type(), ctx.Value(key{}))
		return err
	})
	var r handlers.Registry
	Add(&r, mux, Config{Server: asynq.Config{Logger: nobody{}}}, "email:welcome", "image:resize")
	run := &handlers.Run{ID: job.NewID(time.Now()), Type: "email:welcome", Attempt: 1, MaxAttempts: 2}
	e, _ := r.Lookup("email:welcome")
	if text, err := e.Run(t.Context(), run, []byte("{}")); string(text) != `"email:welcome middle"` || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	e, _ = r.Lookup("image:resize")
	run.Type = "image:resize"
	if _, err := e.Run(t.Context(), run, []byte("{}")); !errors.Is(err, asynq.ErrHandlerNotFound) {
		t.Error(err)
	}
}

// TestRefused lists what no handler can be added with.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })
	group := asynq.GroupAggregatorFunc(func(string, []*asynq.Task) *asynq.Task { return nil })
	for name, add := range map[string]func(*handlers.Registry){
		"no handler": func(r *handlers.Registry) { Add(r, nil, Config{}, "a:b") },
		"groups":     func(r *handlers.Registry) { Add(r, h, Config{Server: asynq.Config{GroupAggregator: group}}, "a:b") },
		"queue":      func(r *handlers.Registry) { Add(r, h, Config{Queues: map[string]Target{"a": {Queue: "A"}}}, "a:b") },
		"priority": func(r *handlers.Registry) {
			Add(r, h, Config{Queues: map[string]Target{"a": {Priority: "top"}}}, "a:b")
		},
		"type":  func(r *handlers.Registry) { Add(r, h, Config{}, "a b") },
		"twice": func(r *handlers.Registry) { Add(r, h, Config{}, "a:b", "a:b") },
	} {
		var r handlers.Registry
		if add(&r); r.Err() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// BenchmarkHandler compares a handler of asynq's with one of ours that does the same: nothing.
func BenchmarkHandler(b *testing.B) {
	var r handlers.Registry
	handlers.Add(&r, tasks.Definition[tasks.Raw]{Type: "email:welcome", Lane: job.LaneIO},
		func(context.Context, *handlers.Run, tasks.Raw) (any, error) { return nil, nil })
	ours, _ := r.Lookup("email:welcome")
	theirs := served(b, func(context.Context, *asynq.Task) error { return nil }, Config{})
	for name, e := range map[string]handlers.Entry{"ours": ours, "asynq": theirs} {
		run := &handlers.Run{ID: job.NewID(time.Now()), Type: "email:welcome", Attempt: 1, MaxAttempts: 2}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Run(b.Context(), run, []byte(`{"user":7}`)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
