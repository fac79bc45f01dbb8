package asynqjobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"longshore/internal/asynqtask"
)

// probePatience is how long asynq's server may take for what takes it a millisecond.
const probePatience = 30 * time.Second

// probeHandlers has asynq's server run a task in each way that there is to end, and looks at what it says.
var probeHandlers = sync.OnceValue(func() error {
	trouble := errors.New("trouble")
	var seen error
	s, err := newServer(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		retried, _ := asynq.GetRetryCount(ctx)
		most, _ := asynq.GetMaxRetry(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		if id != "probe" || retried != 2 || most != 3 || queue != "low" || t.Type() != "probe:asynq" ||
			string(t.Payload()) != "payload" || t.Headers()["a"] != "b" {
			seen = fmt.Errorf("a handler gets id %q, %d of %d retries, queue %q, %q %q", id, retried, most, queue,
				t.Type(), t.Payload())
		}
		switch t.Headers()["end"] {
		case "retry":
			return trouble
		case "skip":
			return fmt.Errorf("%w: %w", trouble, asynq.SkipRetry)
		case "revoke":
			return asynq.RevokeTask
		case "panic":
			panic(trouble)
		}
		_, err := t.ResultWriter().Write([]byte("result"))
		return err
	}), asynq.Config{Logger: nobody{},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour }})
	if err != nil {
		return err
	}
	defer s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), probePatience)
	defer cancel()
	for end, want := range map[string]verdict{"": {what: scriptDone}, "revoke": {what: scriptDone},
		"skip":  {what: scriptArchive, err: "trouble: " + asynq.SkipRetry.Error()},
		"retry": {what: scriptRetry, err: "trouble", fails: true}, "panic": {what: scriptRetry, fails: true}} {
		c := &call{ctx: ctx, ended: make(chan verdict, 1), returned: make(chan struct{}), task: asynqtask.Task{Type: "probe:asynq", ID: "probe",
			Queue: "low", Payload: []byte("payload"), Retry: 3, Retried: 2, Timeout: beyond,
			Headers: map[string]string{"a": "b", "end": end}}}
		s.enter(c)
		s.waiting <- c
		select {
		case v := <-c.ended:
			if end == "panic" {
				v.err = ""
			}
			v.at = time.Time{}
			if v != want || seen != nil || end == "retry" && c.delay != time.Hour ||
				end == "" && string(c.result) != "result" {
				return fmt.Errorf("%w: a run that ends with %q is %+v: %w", ErrOtherAsynq, end, v, seen)
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: it doesn't run a task", ErrOtherAsynq)
		}
	}
	return nil
})

// nobody is told of what the probe does.
type nobody struct{}

func (nobody) Debug(...any) {}
func (nobody) Info(...any)  {}
func (nobody) Warn(...any)  {}
func (nobody) Error(...any) {}
func (nobody) Fatal(...any) {}
