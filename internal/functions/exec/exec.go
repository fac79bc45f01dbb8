// Package exec runs functions of mode exec: a process a job. The contract with the
// program is in docs/functions.md.
package exec

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/internal/functions/program"
	"longshore/internal/isolate"
	"longshore/job"
)

// Exit codes with a meaning of their own, of sysexits.h.
const (
	exitData = 65 // EX_DATAERR: never again
	// 75, EX_TEMPFAIL, is a failed attempt as any other, and says so.
)

type executor struct {
	function *functions.Function
	host     *functions.Host
}

var _ functions.Opener = Open

// Open returns the executor of a function.
func Open(f *functions.Function, h *functions.Host) (functions.Executor, error) {
	return &executor{f, h}, nil
}

// Close does nothing: nothing is kept between jobs.
func (e *executor) Close() error { return nil }

// Run starts the program, feeds it and reads what it says, until nothing of it is left.
func (e *executor) Run(ctx context.Context, a *functions.Attempt) (o functions.Outcome) {
	r := &run{executor: e, Attempt: a, out: filepath.Join(a.Folder, "out")}
	// Whatever goes wrong with its files ends the program.
	r.ctx, r.abort = context.WithCancelCause(ctx)
	defer r.abort(nil)
	if err := r.prepare(); err != nil {
		r.closeAll()
		return functions.Outcome{Err: err}
	}
	p, err := program.Run(r.start())
	r.closeTheirs()
	if err != nil {
		r.closeAll()
		return functions.Outcome{Err: err}
	}
	r.feed()
	stop := functions.WatchFolders(e.host, r.fail, r.work, r.out)
	stopped := p.Wait(r.ctx, e.host)
	stop()
	said := r.drain()
	o.Usage = usage(p)
	o.LastLine = r.lastLine
	if o.Err = r.verdict(p, stopped, said); o.Err == nil {
		o.Submit = said.Submit
		o.Result, o.Err = r.store(ctx, said)
	}
	r.stdout.Abort()
	return o
}

// verdict judges how it ended: the first that holds.
func (r *run) verdict(p *program.Process, stopped error, said functions.Said) error {
	death, state := p.Death(), p.State()
	var signal syscall.Signal
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		signal = ws.Signal()
	}
	switch {
	case death != nil && death.OutOfMemory:
		return death
	case stopped != nil: // by its context's end, or by us: its files
		return stopped
	case death != nil:
		return death
	}
	switch {
	case said.Err != nil:
		return said.Err
	case said.Fail != nil:
		return handlers.Fail(errors.New(*said.Fail))
	case said.RetryIn > 0:
		return handlers.After(said.RetryIn)
	case signal != 0:
		return r.signaled(signal)
	case state.ExitCode() == 0:
		return r.failed() // of reading and writing meanwhile; mostly nil
	}
	err := errors.New(r.exitText(state.ExitCode()))
	if state.ExitCode() == exitData {
		return handlers.Fail(err)
	}
	return err
}

func (r *run) exitText(code int) string {
	text := fmt.Sprintf("exit status %d", code)
	if r.lastLine != "" {
		text += ": " + r.lastLine
	}
	return text
}

// drainPatience is how long after its death by a signal that was not ours a program's
// host may be told to drain: platforms signal every process, in any order.
const drainPatience = 2 * time.Second

func (r *run) signaled(signal syscall.Signal) error {
	switch signal {
	case syscall.SIGXFSZ:
		return handlers.FailWith(job.OutputLimit, fmt.Errorf("a file grew over %d bytes", 2*r.host.MaxOutput))
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
		timer := time.NewTimer(drainPatience)
		defer timer.Stop()
		select {
		case <-r.host.Draining:
			return functions.ErrReleased
		case <-timer.C:
		}
	}
	return &isolate.Death{Signal: signal}
}

// store makes what the program left the job's.
func (r *run) store(ctx context.Context, said functions.Said) (result []byte, err error) {
	result, err = r.stdout.Close(ctx, said.Result)
	if err == nil {
		err = functions.Collect(ctx, r.Attempt.Run, r.out)
	}
	if err == nil && len(result) > job.MaxDocument {
		err = handlers.FailWith(job.OutputLimit, fmt.Errorf("result is over %d bytes; write an output",
			job.MaxDocument))
	}
	return result, err
}

// usage leaves the rusage's peak out: the kernel counts what the worker had when it forked.
func usage(p *program.Process) (u job.Usage) {
	u.PeakRSSBytes = p.Peak()
	if state := p.State(); state != nil {
		u.CPUMS = (state.UserTime() + state.SystemTime()).Milliseconds()
	}
	return u
}
