package lambda

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
)

// An Executor runs one function's jobs in warm processes.
type Executor struct {
	function *functions.Function
	host     *functions.Host
	pool     *Pool
	log      func(functions.Line) // of what is written while no job runs

	waitForWarm time.Duration // see the constant

	closing context.Context
	close   context.CancelFunc
	wg      sync.WaitGroup

	// Guarded by pool.mu.
	returning int           // processes between an answer and the next call of next
	changed   chan struct{} // closed and made anew when a process is free or gone
	notBefore time.Time     // no start before, after one that failed
	pause     time.Duration // the last one
}

var _ functions.Executor = (*Executor)(nil)

// Open makes an executor whose processes count in the pool. It is of type
// functions.Opener.
func (p *Pool) Open(f *functions.Function, h *functions.Host) (functions.Executor, error) {
	return p.open(f, h), nil
}

func (p *Pool) open(f *functions.Function, h *functions.Host) *Executor {
	x := &Executor{function: f, host: h, pool: p, waitForWarm: waitForWarm, changed: make(chan struct{})}
	x.closing, x.close = context.WithCancel(context.Background())
	x.log = func(l functions.Line) {
		h.Log.Log(context.Background(), l.Level, "function says, while no job runs", "type", f.Type, "text",
			l.Text)
	}
	return x
}

// Close ends all processes.
func (x *Executor) Close() error {
	x.pool.mu.Lock()
	x.close()
	for one := x.warm(); one != nil; one = x.warm() {
		x.retire(one)
	}
	x.pool.mu.Unlock()
	x.wg.Wait()
	return nil
}

// Run hands a job to a warm process.
func (x *Executor) Run(ctx context.Context, a *functions.Attempt) functions.Outcome {
	one, err := x.take(ctx)
	if err != nil {
		return functions.Outcome{Err: x.notTaken(a, err)}
	}
	return x.run(ctx, one, a)
}

// notTaken says what it means for the job that there is no process.
func (x *Executor) notTaken(a *functions.Attempt, err error) error {
	var failed *failedStart
	switch {
	case !errors.As(err, &failed):
		return err
	case x.closing.Err() != nil:
		return functions.ErrNotStarted
	}
	if said, _ := Cause(err); said != nil {
		logTrace(a.Log, said)
		return judged(said)
	}
	return plain(failed.err) // how it ended, or that the program can't be started
}

// judged is a function's own word as the host judges errors.
func judged(e *Error) error {
	if e.Final() {
		return handlers.Fail(e)
	}
	return e
}

func logTrace(log func(functions.Line), e *Error) {
	for _, line := range e.Trace {
		w := functions.LogWriter{Log: log, Level: slog.LevelError}
		_, _ = w.Write([]byte(line)) // it never fails
		w.Flush()
	}
}

// tidied empties a process's folder and waits for it to ask for its next event. It
// reports whether the process can go on.
func (x *Executor) tidied(one *process) bool {
	fit := one.awaitIdle(returnPatience - time.Since(one.returned))
	if one.unseen = true; time.Since(one.looked) >= lookEvery { // else as soon as it has been idle so long
		fit = fit && one.alone()
	}
	if fit = fit && one.emptied() == nil && one.jobs < mostJobs; !fit {
		return false
	}
	var err error
	one.next, err = one.newPlace()
	return err == nil
}

// lookEvery is how long a process is not looked at for what jobs have left behind.
const lookEvery = 25 * time.Millisecond

// alone reports whether there is nothing of the process's family that wasn't there when
// it became ready.
func (p *process) alone() bool {
	p.looked, p.unseen = time.Now(), false
	return p.family.Tree(p.crew).Processes <= p.crew
}
