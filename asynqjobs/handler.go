package asynqjobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hibiken/asynq"

	"longshore/handlers"
	"longshore/internal/asynqtask"
	"longshore/job"
	"longshore/tasks"
)

// defaultRetry is how often asynq retries a task that says nothing: it is the policy of the types.
const defaultRetry = 25

// beyond is the timeout that asynq is told of: more than any job has, for the run's own is what ends a task.
const beyond = 2 * tasks.MaxTimeout

// Add registers a handler of asynq's, most often a mux with its middleware, as the handler of these types.
// What is wrong with them or the configuration, or with the asynq that the program is built with, is
// remembered and returned by the registry's Err, which a worker asks before it starts.
func Add(r *handlers.Registry, h asynq.Handler, c Config, types ...string) {
	if err := check(h, c); err != nil {
		r.AddErr(err)
		return
	}
	a := &adapter{handler: h, config: c, names: names(c.Queues)}
	for _, typ := range types {
		handlers.Add(r, tasks.Definition[tasks.Raw]{Type: typ, Doc: "Runs by a handler of asynq's",
			Lane: cmp.Or(c.Lane, job.LaneIO), MaxAttempts: defaultRetry + 1}, a.run)
	}
}

func check(h asynq.Handler, c Config) error {
	if h == nil {
		return errors.New("asynqjobs: there is no handler")
	}
	if c.Server.GroupAggregator != nil {
		return errors.New("asynqjobs: tasks are not aggregated in groups here: docs/from-asynq.md has what takes their place")
	}
	for name, to := range c.Queues {
		if to.Priority != "" && !slices.Contains(job.Priorities, to.Priority) || to.Queue != "" && !job.IsQueue(to.Queue) {
			return fmt.Errorf("asynqjobs: the jobs of queue %q can't wait in %+v", name, to)
		}
	}
	return probeHandlers()
}

// names says how asynq's queue is called whose jobs wait somewhere.
func names(queues map[string]Target) map[Target]string {
	of := map[Target]string{{Priority: job.High}: "critical", {}: "default", {Priority: job.Low}: "low"}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(queues))) {
		to := queues[name]
		of[Target{to.priority(), job.InQueue(to.Queue)}] = name
	}
	return of
}

func (t Target) priority() job.Priority {
	if t.Priority == job.Default {
		return ""
	}
	return t.Priority
}

// An adapter runs jobs as tasks. Its servers are started when the first job needs them: most often one is
// enough.
type adapter struct {
	handler asynq.Handler
	config  Config
	names   map[Target]string

	mu      sync.Mutex
	servers []*server
}

type runKey struct{}

// RunOf is the run of the job that a handler's context belongs to, for progress, lines of the job's log
// and outputs; nil if there is none.
func RunOf(ctx context.Context) *handlers.Run {
	run, _ := ctx.Value(runKey{}).(*handlers.Run)
	return run
}

func (a *adapter) run(ctx context.Context, run *handlers.Run, payload tasks.Raw) (any, error) {
	task, err := asynqtask.Unwrap(payload.Bytes())
	if err != nil {
		return nil, handlers.Fail(err)
	}
	c := &call{ctx: context.WithValue(ctx, runKey{}, run), deadline: run.Deadline,
		ended: make(chan verdict, 1), returned: make(chan struct{})}
	if until := task.Deadline; !until.IsZero() {
		if !time.Now().Before(until) {
			return nil, handlers.FailWith(job.Timeout, errors.New("the task's deadline is over"))
		}
		if run.Deadline.IsZero() || until.Before(run.Deadline) {
			c.deadline = until
			var cancel context.CancelFunc
			c.ctx, cancel = context.WithDeadline(c.ctx, until)
			defer cancel()
		}
	}
	task.ID, task.Type = cmp.Or(task.ID, string(run.ID)), run.Type
	task.Retry, task.Retried = task.Retried+run.MaxAttempts-1, task.Retried+run.Attempt-1
	task.Queue, task.Timeout, task.Deadline = a.queue(run), beyond, time.Time{}
	c.task = task
	s, err := a.server(c)
	if err != nil {
		return nil, handlers.Fail(err)
	}
	v, err := s.do(c)
	if err != nil {
		return nil, err
	}
	return c.judge(v)
}

func (a *adapter) queue(run *handlers.Run) string {
	at := Target{run.Priority, run.Queue}
	at = Target{at.priority(), job.InQueue(at.Queue)}
	if name, ok := a.names[at]; ok {
		return name
	}
	return job.QueueOf(at.Queue)
}

// server is one that runs no task of the call's id; there the call is entered.
func (a *adapter) server(c *call) (*server, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.servers {
		if s.enter(c) {
			return s, nil
		}
	}
	s, err := newServer(a.handler, a.config.Server)
	if err != nil {
		return nil, err
	}
	a.servers = append(a.servers, s)
	s.enter(c)
	return s, nil
}

// judge says what asynq's verdict means for the job.
func (c *call) judge(v verdict) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.err
	if err == nil {
		err = errors.New(cmp.Or(v.err, "asynq ended the run")) // a panic's, or asynq's own
	}
	switch v.what {
	case scriptRetry:
		pause := c.delay
		if !c.later {
			pause = time.Until(v.at) // in whole seconds
		}
		if !v.fails {
			return nil, handlers.After(pause)
		}
		return nil, handlers.RetryIn(err, pause)
	case scriptArchive:
		return nil, handlers.Fail(err)
	case scriptRequeue:
		return nil, handlers.After(time.Second)
	}
	if c.err != nil { // asynq has done with it, and it didn't succeed
		return nil, fmt.Errorf("%w: %w", handlers.ErrCancel, c.err)
	}
	switch {
	case c.result == nil:
		return nil, nil
	case json.Valid(c.result):
		return json.RawMessage(c.result), nil
	case utf8.Valid(c.result):
		return string(c.result), nil
	}
	return map[string][]byte{"base64": c.result}, nil
}
