package lambda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/job"
)

// A run is one job in one process.
type run struct {
	*functions.Attempt
	executor *Executor
	process  *process
	place    *place
	channel  functions.Channel
	spoken   *pipe // the channel's
	body     functions.Body
	logging  sync.Mutex
}

// run sees a job through, from a process that is idle to one that is free again or gone.
func (x *Executor) run(ctx context.Context, p *process, a *functions.Attempt) (out functions.Outcome) {
	r := &run{Attempt: a, executor: x, process: p, place: p.next}
	p.next = nil
	p.jobs++
	defer r.place.close()
	custom, err := r.begin(ctx)
	if err != nil {
		x.giveBack(p)
		return functions.Outcome{Err: err}
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	defer functions.WatchFolders(x.host, abort, p.folder)()
	cpu := cpuTime(p.family.Head())
	c, err := p.invoke(Event{Payload: a.Payload, Deadline: a.Deadline, Custom: custom, Body: &answer{r, ctx},
		Traceparent: a.Traceparent})
	if err == nil {
		select {
		case err = <-c.done:
		case <-ctx.Done():
			p.drop(c)
			err = context.Cause(ctx)
		}
	}
	p.returned = time.Now()
	var limit *handlers.Failure
	if errors.As(err, &limit) && limit.Code == job.OutputLimit && c.length > 0 {
		err = handlers.FailWith(job.OutputLimit, fmt.Errorf("the answer has %d bytes: %w", c.length, err))
	}
	broken := r.broken(ctx, err)
	_, peak, _ := p.family.Resident()
	out.Usage = job.Usage{CPUMS: max(0, cpuTime(p.family.Head())-cpu).Milliseconds(), PeakRSSBytes: peak}
	if broken {
		// Before anything of the job is touched: it may be writing still.
		x.discard(p, r.grace(ctx))
		if death := p.family.Death(); death != nil && death.OutOfMemory {
			err = death
		}
		out.Usage.PeakRSSBytes = max(peak, p.family.Peak())
	}
	said := r.end(&out)
	if out.Err = r.verdict(ctx, said, err); out.Err == nil {
		out.Submit = said.Submit
		out.Result, out.Err = r.store(ctx, said)
	}
	r.body.Abort()
	if !broken {
		x.giveBack(p)
	}
	return out
}

// begin readies what takes the job's words and copies its input.
func (r *run) begin(ctx context.Context) (custom map[string]string, err error) {
	if custom, err = r.place.custom(ctx, r.Attempt, r.process.user); err != nil {
		return nil, err
	}
	log := func(l functions.Line) {
		r.logging.Lock()
		defer r.logging.Unlock()
		if r.Log != nil {
			r.Log(l)
		}
	}
	r.channel = functions.Channel{Run: r.Attempt.Run, Log: log}
	r.body = functions.Body{Run: r.Attempt.Run, Output: r.executor.function.Manifest.Output, Log: log,
		Said: r.channel.HasResult}
	// the write never fails
	if r.spoken, err = newPipe(r.place.control, func(part []byte) {
		_, _ = r.channel.Write(part)
	}); err != nil {
		return nil, fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	r.process.out.switchTo(&functions.LogWriter{Log: log})
	return custom, nil
}

// end takes no more words of the job's and returns those of the channel.
func (r *run) end(out *functions.Outcome) (said functions.Said) {
	out.LastLine = r.process.out.switchTo(nil)
	r.spoken.turn(func() {
		said = r.channel.Close()
		r.spoken.take = func([]byte) {} // too late
	})
	r.spoken.stop(0)
	return said
}

// broken reports whether the process can't have another job.
func (r *run) broken(ctx context.Context, err error) bool {
	said, crash := Cause(err)
	var death *isolate.Death
	switch {
	case err == nil:
		return false
	case crash != nil, errors.As(err, &death):
		return true
	case said == errCutShort: // mostly it is dying
		timer := time.NewTimer(fallPatience)
		defer timer.Stop()
		select {
		case <-r.process.family.Ended():
			return true
		case <-timer.C:
			return false
		}
	case said != nil:
		return false
	}
	return ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
}

// fallPatience is how long after its connection a process may end by itself.
const fallPatience = 500 * time.Millisecond

// grace is what the process gets to end by itself: nothing, where it is broken.
func (r *run) grace(ctx context.Context) time.Duration {
	if ctx.Err() == nil {
		return 0
	}
	return r.executor.host.GraceOf(context.Cause(ctx))
}

// verdict judges how the job ended: the first that holds.
func (r *run) verdict(ctx context.Context, said functions.Said, err error) error {
	e, crash := Cause(err)
	var death *isolate.Death
	switch {
	case errors.As(err, &death) && death.OutOfMemory:
		return death
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return err
	case death != nil:
		return r.executor.ended(death)
	case crash != nil:
		return plain(crash)
	case said.Err != nil:
		return said.Err
	case said.Fail != nil:
		return handlers.Fail(errors.New(*said.Fail))
	case said.RetryIn > 0:
		return handlers.After(said.RetryIn)
	case e != nil:
		logTrace(r.Log, e)
		return judged(e)
	}
	return err // of what takes the body; mostly nil
}

// plain is a crash as the host judges errors.
func plain(err error) error {
	if crash := (*Crash)(nil); errors.As(err, &crash) {
		return &isolate.Death{How: crash.How}
	}
	return err
}

// drainPatience is how long after its death by a signal that was not ours a process's
// host may be told to drain: platforms signal every process, in any order.
const drainPatience = 2 * time.Second

// ended judges the end of a process that had a job.
func (x *Executor) ended(death *isolate.Death) error {
	patience := time.Duration(0)
	switch {
	case death.Signal == syscall.SIGTERM, death.Signal == syscall.SIGINT, death.Signal == syscall.SIGHUP,
		// as programs say it that noticed
		death.Exit == 128+int(syscall.SIGTERM), death.Exit == 128+int(syscall.SIGINT):
		patience = drainPatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-x.host.Draining:
		return functions.ErrReleased
	case <-timer.C:
	}
	return death
}

// store makes what the job left its own.
func (r *run) store(ctx context.Context, said functions.Said) (result []byte, err error) {
	result, err = r.body.Close(ctx, said.Result)
	if err == nil {
		err = functions.CollectIn(ctx, r.Attempt.Run, r.place.out)
	}
	if err == nil && len(result) > job.MaxDocument {
		err = handlers.FailWith(job.OutputLimit, fmt.Errorf("result is over %d bytes; write an output",
			job.MaxDocument))
	}
	return result, err
}

// answer takes the body of an answer.
type answer struct {
	*run
	ctx context.Context
}

func (a *answer) Write(p []byte) (int, error) {
	if err := a.body.Write(a.ctx, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
