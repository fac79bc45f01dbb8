package asynqjobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"longshore/internal/asynqtask"
)

const (
	// leaseLength is asynq's, from when it begins to ask for a task.
	leaseLength = 30 * time.Second
	// askWait is how long it is let wait for one: the lease of the task that comes then must be fresh.
	askWait = 5 * time.Second
	// graceOfLease is how long after the end of a lease asynq may still say how its task has ended.
	graceOfLease = time.Second
)

// mostAtOnce is how many tasks a server may run: more than any worker has slots.
const mostAtOnce = 1 << 14

// A server is asynq's, with what it asks its Redis: it is handed a call at a time and says how it ended. It
// lives as long as the process. asynq knows tasks by their ids, so no two of one id run in a server at once.
type server struct {
	handler asynq.Handler
	config  asynq.Config
	asynq   *asynq.Server
	waiting chan *call    // for asynq to take
	stopped chan struct{} // closed by stop
	next    *call         // taken from waiting too late; only the goroutine that asks touches it

	mu    sync.Mutex
	calls map[string]*call // by id: those that have not ended
}

// A call is one run of one task.
type call struct {
	ctx      context.Context // the run's
	task     asynqtask.Task
	deadline time.Time // zero = none
	ended    chan verdict
	returned chan struct{} // closed when the handler has returned, or panicked

	mu     sync.Mutex
	result []byte
	err    error         // what the handler returned
	delay  time.Duration // that RetryDelayFunc said after it; meant only if delayed
	later  bool          // … it was asked
	whole  bool          // the handler has returned
	lease  time.Time     // until when asynq may end it
}

// A verdict is what asynq makes of a run.
type verdict struct {
	what  string // the script that it would have Redis run
	err   string // the error, as a text
	at    time.Time
	fails bool // a retry that counts as one
}

// ends are the scripts that end a run.
var ends = map[string]bool{scriptDone: true, scriptDoneUnique: true, scriptComplete: true,
	scriptCompleteUnique: true, scriptRequeue: true, scriptRetry: true, scriptArchive: true}

func newServer(h asynq.Handler, c asynq.Config) (*server, error) {
	s := &server{handler: h, config: c, waiting: make(chan *call), stopped: make(chan struct{}),
		calls: map[string]*call{}}
	s.asynq = asynq.NewServerFromRedisClient(answering(s.answer), asynq.Config{
		Concurrency: mostAtOnce, BaseContext: c.BaseContext, TaskCheckInterval: time.Millisecond,
		RetryDelayFunc: s.delay, IsFailure: s.isFailure, ErrorHandler: asynq.ErrorHandlerFunc(s.tell),
		Logger: logger{orDefault(c.Logger)}, LogLevel: c.LogLevel, ShutdownTimeout: time.Second,
		HealthCheckFunc: c.HealthCheckFunc, HealthCheckInterval: c.HealthCheckInterval})
	if err := s.asynq.Start(asynq.HandlerFunc(s.process)); err != nil {
		return nil, fmt.Errorf("start asynq's server: %w", err)
	}
	return s, nil
}

// stop ends a server that runs nothing.
func (s *server) stop() {
	close(s.stopped)
	s.asynq.Shutdown()
}

// enter makes a call known, unless one of its id is.
func (s *server) enter(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.task.ID] != nil {
		return false
	}
	s.calls[c.task.ID] = c
	return true
}

func (s *server) find(id string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[id]
}

// do runs a call that has been entered.
func (s *server) do(c *call) (verdict, error) {
	c.extend(time.Now().Add(leaseLength)) // until it is known better
	select {
	case s.waiting <- c:
	case <-c.ctx.Done():
		s.leave(c)
		return verdict{}, context.Cause(c.ctx)
	}
	watch := time.NewTimer(leaseLength + graceOfLease)
	defer watch.Stop()
	for {
		select {
		case v := <-c.ended:
			return v, nil
		case <-watch.C:
		}
		left := c.left()
		if left <= 0 {
			return s.forgotten(c), nil
		}
		watch.Reset(left)
	}
}

// forgotten is how a run ends whose lease asynq has let pass, as where the process stood still for longer:
// asynq says nothing of it any more.
func (s *server) forgotten(c *call) verdict {
	select {
	case v := <-c.ended:
		return v
	case <-c.returned:
	case <-c.ctx.Done():
	}
	s.leave(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whole && (c.err == nil || errors.Is(c.err, asynq.RevokeTask)) {
		return verdict{what: scriptDone}
	}
	return verdict{what: scriptRequeue}
}

func (c *call) extend(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lease = until
}

// left is how long asynq may still say how the run has ended.
func (c *call) left() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.lease.Add(graceOfLease))
}

func (s *server) leave(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c.task.ID)
}

// answer is the Redis of asynq's server.
func (s *server) answer(_ context.Context, q question) (any, error) {
	switch {
	case q.script == scriptDequeue:
		return s.dequeue(), nil
	case ends[q.script]:
		return s.end(q)
	case q.name == "hset" && len(q.args) == 3 && string(q.text(1)) == "result":
		return s.result(string(q.text(0)), q.text(2))
	}
	switch q.script {
	case scriptForward, scriptExpired:
		return int64(0), nil
	case scriptLeaseExpired:
		return []any{}, nil
	case scriptReclaim, scriptServer, scriptServerGone:
		return "OK", nil
	}
	switch q.name {
	case "zadd", "zrem": // its lease is as long as the run: ours is what counts
		for i := range q.args {
			if c := s.find(string(q.text(i))); c != nil {
				c.extend(time.Now().Add(leaseLength))
			}
		}
		return int64(1), nil
	case "ping":
		return "PONG", nil
	}
	return nil, q.unanswered()
}

// dequeue is the next task's message; nil for none yet.
func (s *server) dequeue() any {
	began := time.Now()
	c := s.next
	if s.next = nil; c == nil {
		wait := time.NewTimer(askWait)
		defer wait.Stop()
		select {
		case c = <-s.waiting:
		case <-wait.C:
			return nil
		case <-s.stopped:
			return nil
		}
	}
	if time.Since(began) > 2*askWait { // the process stood still
		s.next = c
		return nil
	}
	c.extend(began.Add(leaseLength))
	return string(c.task.Encode())
}

func (s *server) end(q question) (any, error) {
	c := s.find(string(q.text(0)))
	if c == nil {
		return nil, fmt.Errorf("asynq ends a task %q that doesn't run", q.text(0))
	}
	v := verdict{what: q.script}
	if q.script == scriptRetry || q.script == scriptArchive {
		if t, err := asynqtask.Decode(q.text(1)); err == nil {
			v.err = t.LastError
		}
	}
	if q.script == scriptRetry && len(q.args) > 4 {
		v.at = time.Unix(q.number(2), 0)
		v.fails, _ = q.args[4].(bool)
	}
	s.leave(c)
	c.ended <- v
	return "OK", nil
}

// result keeps what a handler's ResultWriter writes: what comes later takes its place.
func (s *server) result(key string, data []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.calls {
		if strings.HasSuffix(key, id) && key == "asynq:{"+c.task.Queue+"}:t:"+id {
			c.mu.Lock()
			c.result = append([]byte{}, data...)
			c.mu.Unlock()
			return int64(1), nil
		}
	}
	return nil, errors.New("the run has ended: its result can't be written any more")
}

// An outcome is a handler's error, with the call that it is of.
type outcome struct {
	error
	of *call
}

func (o *outcome) Unwrap() error { return o.error }

// own is the error that a handler returned, as it was, and its call; of a panic there is none.
func own(err error) (*call, error) {
	if o := (*outcome)(nil); errors.As(err, &o) {
		return o.of, o.error
	}
	return nil, err
}

// process is the handler that asynq's server has: ours goes on in a context that is the run's, and has
// asynq's values.
func (s *server) process(ctx context.Context, t *asynq.Task) error {
	c := s.find(t.ResultWriter().TaskID())
	if c == nil {
		return errors.New("asynq runs a task that was not handed to it")
	}
	run, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	defer close(c.returned)
	err := s.handler.ProcessTask(&taskContext{run, ctx, c.deadline}, t)
	c.mu.Lock()
	c.err, c.whole = err, true
	c.mu.Unlock()
	if err == nil {
		return nil
	}
	return &outcome{err, c}
}

func (s *server) delay(n int, err error, t *asynq.Task) time.Duration {
	c, err := own(err)
	say := s.config.RetryDelayFunc
	if say == nil {
		say = asynq.DefaultRetryDelayFunc
	}
	d := say(n, err, t)
	if c != nil {
		c.mu.Lock()
		c.delay, c.later = d, true
		c.mu.Unlock()
	}
	return d
}

func (s *server) isFailure(err error) bool {
	_, err = own(err)
	return s.config.IsFailure == nil || s.config.IsFailure(err)
}

func (s *server) tell(ctx context.Context, t *asynq.Task, err error) {
	if s.config.ErrorHandler != nil {
		_, err = own(err)
		s.config.ErrorHandler.HandleError(ctx, t, err)
	}
}

// A taskContext ends with the run, and has asynq's values beside the run's.
type taskContext struct {
	context.Context // the run's
	task            context.Context
	deadline        time.Time
}

func (c *taskContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Err says that the deadline is exceeded where that ended the run, as a context of asynq's does.
func (c *taskContext) Err() error {
	err := c.Context.Err()
	if err != nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return err
}

func (c *taskContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.task.Value(key)
}
