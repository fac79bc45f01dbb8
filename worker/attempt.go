package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"longshore/handlers"
	"longshore/internal/blob"
	"longshore/internal/functions"
	"longshore/internal/functions/host"
	"longshore/internal/gather"
	"longshore/internal/isolate"
	"longshore/internal/jobstore"
	"longshore/internal/tracing"
	"longshore/job"
)

// Causes with which a run's context ends; others are jobstore's.
var (
	errTimeout  = errors.New("attempt ran longer than its timeout")
	errShutdown = errors.New("worker shuts down")
)

// Pauses of the worker.
const (
	noHandlerPause = 10 * time.Second // a job whose type is not served here after all is given back for this
	suspectPause   = time.Second      // … one for which there is no room among the suspects
	noSpacePause   = 10 * time.Second // … of a run that found the disk full: up to this, beside its backoff
	noChildPause   = time.Second      // … one for which no child process could be started
	asksFirst      = 50 * time.Millisecond
	asksMost       = time.Second // between calls to a Redis that doesn't answer
)

// An attempt is one start of one job in this process.
type attempt struct {
	worker  *worker
	ticket  job.Ticket
	fence   string
	started jobstore.Started
	entry   handlers.Entry
	lane    job.Lane
	use     *host.Use // of a function; nil for a type that Go code serves
	log     *runLog
	secrets *strings.Replacer // hides those of the payload; nil = there are none
	began   time.Time
	span    tracing.Span
	stop    context.CancelCauseFunc

	// Of a run in a child:
	renewals chan time.Time // until when it may run; the latest only
	usage    job.Usage
}

// handle takes one ticket to its end. It returns when the record knows the
// outcome, or nothing more can be done here.
func (w *worker) handle(ctx context.Context, c jobstore.Claim) {
	t, sent, err := c.Ticket, c.Sent, c.Err
	a := &attempt{worker: w, ticket: t, fence: c.Fence, started: c.Started, renewals: make(chan time.Time, 1)}
	if errors.Is(err, jobstore.ErrSuspect) {
		var leave func()
		if sent, leave, err = a.startSuspect(ctx); errors.Is(err, jobstore.ErrSuspect) {
			w.postpone(ctx, t, suspectPause)
			return
		}
		defer leave()
	}
	switch {
	case err == nil:
		if !a.find() {
			a.finish(ctx, jobstore.End{Outcome: jobstore.Release, Delay: noHandlerPause})
			return
		}
		a.run(ctx, sent)
		if a.use != nil {
			a.use.End()
		}
	case errors.Is(err, jobstore.ErrStale), errors.Is(err, job.ErrNotFound):
		a.logger().DebugContext(ctx, "stale ticket dropped", "delivery", t.Delivery)
	case errors.Is(err, context.Canceled):
		a.finish(ctx, jobstore.End{Outcome: jobstore.Release}) // whether the start was accepted is not known
	default:
		a.logger().ErrorContext(ctx, "job can't be started", "error", err)
	}
}

// find finds what runs the job's type: Go code goes before a folder.
func (a *attempt) find() (ok bool) {
	if a.entry, ok = a.worker.registry.Lookup(a.started.Type); ok || a.worker.functions == nil {
		return ok
	}
	if a.use = a.worker.functions.Use(a.started.Type); a.use == nil {
		return false
	}
	a.entry = handlers.Entry{Info: a.use.Info}
	return true
}

// debug says what happens to every job. No argument is boxed and no logger
// made where nobody listens.
func (a *attempt) debug(ctx context.Context, say func(*slog.Logger)) {
	if a.worker.log.Enabled(ctx, slog.LevelDebug) {
		say(a.logger())
	}
}

// logger knows the job. It is made where something is said, which is seldom.
func (a *attempt) logger() *slog.Logger {
	return a.worker.log.With("job_id", a.ticket.ID, "type", a.started.Type, "attempt", a.started.Attempt)
}

// startSuspect starts a job that has lost young runs, if there is room for it
// among the suspects: it counts there until leave is called, or until its run is
// so old that it is no suspect any more. One after the other asks, for the room
// that the one before left.
func (a *attempt) startSuspect(ctx context.Context) (sent time.Time, leave func(), err error) {
	w := a.worker
	w.suspectGate.Lock()
	defer w.suspectGate.Unlock()
	most := w.suspects.Most()
	if most == 0 {
		return sent, nil, jobstore.ErrSuspect
	}
	if sent, err = a.start(ctx, most); err != nil {
		return sent, func() {}, err
	}
	out := w.suspects.Add(a.started.Losses)
	clock := time.AfterFunc(jobstore.Young, out)
	return sent, func() { clock.Stop(); out() }, nil
}

// start asks for the job until Redis answers: the same fence is the same start.
// most is how suspicious it may be.
func (a *attempt) start(ctx context.Context, most int) (sent time.Time, err error) {
	err = a.worker.ask(ctx, func(ctx context.Context) error {
		sent = time.Now()
		a.started, err = a.worker.sys.Store.StartWithin(ctx, a.ticket, a.fence, most)
		return err
	})
	return sent, err
}

// ask calls f until it gives an answer: an error of the store's own is one. It
// ends with context.Canceled when the worker's patience does.
func (w *worker) ask(ctx context.Context, f func(context.Context) error) error {
	pause := asksFirst
	for {
		err := f(ctx)
		if err == nil || jobstore.Answered(err) {
			return err
		}
		select {
		case <-w.giveUp.Done():
			return fmt.Errorf("%w: %w", context.Canceled, err)
		case <-time.After(pause):
		}
		pause = min(2*pause, asksMost)
	}
}

func (w *worker) postpone(ctx context.Context, t job.Ticket, d time.Duration) {
	err := w.ask(ctx, func(ctx context.Context) error { return w.sys.Store.Postpone(ctx, t, d+rand.N(d/4)) })
	if err != nil && !errors.Is(err, jobstore.ErrStale) && !errors.Is(err, job.ErrNotFound) {
		w.log.WarnContext(ctx, "job can't be postponed, the sweeper will", "job_id", t.ID, "error", err)
	}
}

// run runs the handler, keeps the lease meanwhile and records the end.
func (a *attempt) run(ctx context.Context, sent time.Time) {
	ctx, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil)
	a.debug(ctx, func(l *slog.Logger) { l.DebugContext(ctx, "run begins") })
	a.began = time.Now()
	clock := time.AfterFunc(time.Until(sent.Add(a.started.Timeout)), func() { a.stop(errTimeout) })
	defer clock.Stop()
	switch {
	case a.started.CancelRequested:
		a.stop(jobstore.ErrCanceled)
	case a.entry.Info.ForbidOverlap && time.Since(sent) >= a.worker.keeper.CutAfter():
		a.stop(jobstore.ErrCutOff) // the answer to start came too late: the lease is as good as over
	}

	a.log = a.newLog()
	run := a.newRun()
	a.span = a.beginSpan()
	ctx, run.Traceparent = a.span.Into(ctx), a.span.Traceparent()
	run.Deadline = sent.Add(a.started.Timeout)
	report := newReport(run, a.started.Reached)
	hold := &jobstore.Hold{ID: a.ticket.ID, Fence: a.fence, Sent: sent, Progress: report.news,
		Stop: func(cause error) { a.stop(cause) }, KillWhenCut: a.entry.Info.ForbidOverlap,
		Renewed: a.renewed}
	unreadable := a.unseal() // before the first beat may tell a note
	report.hide = a.hide
	a.worker.keeper.Keep(hold)
	a.lane = a.entry.Info.LaneFor(a.started.Spec.Payload)
	a.worker.counts.Began(a.lane, a.ticket.Priority, a.started.Wait)
	a.worker.running.Store(a, struct{}{})

	var result []byte
	err := context.Cause(ctx)
	if err == nil && unreadable == nil && a.started.Spec.Gather != "" {
		unreadable = a.gather(ctx, run)
	}
	switch {
	case err != nil:
	case unreadable != nil:
		err = unreadable
	case a.use != nil:
		result, err = a.callFunction(ctx, run)
	case a.lane == job.LaneCPU:
		result, err = a.isolated(ctx, run, sent.Add(a.worker.keeper.CutAfter()))
	default:
		result, err = a.call(ctx, run)
	}

	a.worker.running.Delete(a)
	logged := a.log.close()
	a.spent(time.Since(a.began))
	hold.Drop()
	end, counts := a.judge(ctx, result, err)
	defer a.endSpan(end, counts)
	if counts {
		end.Usage = a.usage
		end.Usage.WallMS = time.Since(a.began).Milliseconds()
		end.Progress = report.last()
		end.Outputs = run.Files.(*files).committed()
		if a.use != nil && a.use.Function.Version != a.started.Function && end.Outcome != jobstore.Release {
			end.Function = cmp.Or(a.use.Function.Version, jobstore.NoFunction)
		}
		a.finish(ctx, end)
	}
	if logged && counts {
		a.log.store(ctx)
	}
	if end.Outcome != jobstore.Succeeded {
		a.deleteOutputs(ctx)
	}
	if a.started.Spec.Gather != "" {
		// what stays goes with the job's other files
		_ = a.worker.sys.Blobs.Delete(context.WithoutCancel(ctx), gather.Folder(a.ticket.ID, a.fence))
	}
}

func (a *attempt) newRun() *handlers.Run {
	run := &handlers.Run{ID: a.ticket.ID, Type: a.started.Type, Attempt: a.started.Attempt,
		MaxAttempts: a.started.MaxAttempts, Priority: a.ticket.Priority, Queue: a.ticket.Queue,
		After: a.started.After,
		Files: &files{blobs: a.worker.sys.Blobs, spec: a.started.Spec,
			room: allowance{max: a.worker.config.MaxOutput}, prefix: jobstore.Folder(a.ticket.ID) + "/" +
				a.fence + "/"}}
	if in := a.started.Spec.Input; in != nil {
		run.InputSize = in.Size
	}
	run.LogTo(a.log.add)
	return run
}

// call runs the handler in a goroutine of its own, since a goroutine can't be
// stopped: one that ignores its context is left behind after the grace.
func (a *attempt) call(ctx context.Context, run *handlers.Run) ([]byte, error) {
	type outcome struct {
		result []byte
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				a.logger().ErrorContext(ctx, "handler panicked", "panic", a.hide(fmt.Sprint(p)), "stack", string(debug.Stack()))
				done <- outcome{err: errors.New("handler panicked")}
			}
		}()
		result, err := a.entry.Run(ctx, run, a.started.Spec.Payload)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(a.worker.config.KillGrace)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
		n := a.worker.left.Add(1)
		a.logger().ErrorContext(ctx, "handler ignores the end of its context and is left behind", "cause",
			context.Cause(ctx), "left_behind", n)
		go func() { // as long as the handler itself, which nobody waits for
			<-done
			a.logger().InfoContext(ctx, "handler that was left behind has returned", "left_behind",
				a.worker.left.Add(-1))
		}()
		if limit := int64(a.worker.config.LeftBehind); limit > 0 && n >= limit {
			a.worker.restart(ErrLeftBehind)
		}
		return nil, context.Cause(ctx)
	}
}

// judge turns what the handler returned, and why its context ended, into the
// job's end. counts is false if the run has lost its job.
func (a *attempt) judge(ctx context.Context, result []byte, err error) (end jobstore.End, counts bool) {
	if err == nil {
		return jobstore.End{Outcome: jobstore.Succeeded, Result: result}, true
	}
	var death *isolate.Death
	outOfMemory := errors.As(err, &death) && death.OutOfMemory
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case errors.Is(cause, jobstore.ErrLost):
		a.logger().WarnContext(ctx, "run has lost its job")
		return jobstore.End{}, false
	case errors.Is(cause, jobstore.ErrCanceled):
		return jobstore.End{Outcome: jobstore.Canceled}, true
	case (errors.Is(cause, errShutdown) || errors.Is(cause, jobstore.ErrCutOff)) && !outOfMemory:
		return jobstore.End{Outcome: jobstore.Release}, true
	case errors.Is(cause, errTimeout):
		message := fmt.Sprintf("the attempt ran longer than %v", a.started.Timeout)
		return jobstore.End{Outcome: jobstore.Retry, Delay: a.pause(err),
			Code: job.Timeout, Message: message}, true
	}
	if errors.Is(err, isolate.ErrStart) {
		a.logger().ErrorContext(ctx, "job is given back", "error", a.told(err))
		return jobstore.End{Outcome: jobstore.Release, Delay: noChildPause}, true
	}
	switch {
	case errors.Is(err, functions.ErrNotStarted):
		a.logger().ErrorContext(ctx, "job is given back", "error", a.told(err))
		return jobstore.End{Outcome: jobstore.Release, Delay: noChildPause}, true
	case errors.Is(err, functions.ErrReleased):
		return jobstore.End{Outcome: jobstore.Release}, true
	case errors.Is(err, errUnfit):
		a.logger().WarnContext(ctx, "job is given back", "error", a.told(err))
		return jobstore.End{Outcome: jobstore.Release, Delay: unfitPause}, true
	}
	if errors.Is(err, handlers.ErrCancel) {
		return jobstore.End{Outcome: jobstore.Canceled}, true
	}
	var later *handlers.Postponement
	if errors.As(err, &later) {
		return jobstore.End{Outcome: jobstore.Release, Delay: later.Delay}, true
	}
	end = jobstore.End{Outcome: jobstore.Retry, Delay: a.pause(err),
		Code: job.HandlerError, Message: a.hide(err.Error())}
	var failure *handlers.Failure
	if errors.As(err, &failure) {
		end.Code = failure.Code
		if failure.Final {
			end.Outcome = jobstore.Failed
		}
		if failure.Code == job.StorageError {
			end.Message = storageMessage(err)
		}
		if errors.Is(err, blob.ErrNoSpace) {
			end.Delay += rand.N(noSpacePause) // space comes back when others end
		}
	}
	if death != nil {
		end.Code = functions.CodeOf(death)
		end.Message = a.hide("the job's " + death.Error())
	}
	a.logger().WarnContext(ctx, "attempt failed", "code", end.Code, "final", end.Outcome == jobstore.Failed,
		"error", a.told(err))
	return end, true
}

// pause is how long to wait after an attempt that ended with an error: its handler may have said so.
func (a *attempt) pause(err error) time.Duration {
	if f := (*handlers.Failure)(nil); errors.As(err, &f) && f.Delay > 0 {
		return f.Delay
	}
	return jobstore.Backoff(a.started.Attempt)
}

// finish records the end, asking until it is answered.
func (a *attempt) finish(ctx context.Context, end jobstore.End) {
	ctx = context.WithoutCancel(ctx)
	var ended jobstore.Ended
	err := a.worker.ask(ctx, func(ctx context.Context) (err error) {
		ended, err = a.worker.sys.Store.Finish(ctx, a.ticket.ID, a.fence, end)
		return err
	})
	switch {
	case errors.Is(err, jobstore.ErrLost), errors.Is(err, job.ErrNotFound):
		a.logger().WarnContext(ctx, "end of a run not counted: the job was given to another one", "outcome",
			end.Outcome)
		return
	case err != nil:
		a.logger().ErrorContext(ctx, "end of a run not recorded, its lease will end", "outcome", end.Outcome,
			"error", err)
		return
	}
	a.counted(ended.State, end)
	if ended.State.Terminal() {
		a.logEnd(ctx, ended.State, end)
	} else {
		a.debug(ctx, func(l *slog.Logger) {
			l.DebugContext(ctx, "run ended", "outcome", end.Outcome, "state", ended.State, "wall_ms",
				end.Usage.WallMS)
		})
	}
	if ended.Callback && ended.State.Terminal() && a.worker.callbacks != nil {
		a.worker.callbacks.Notify()
	}
}

// logEnd says that a job has ended: one line each, of numbers and names only.
// Nothing is made where nobody listens.
func (a *attempt) logEnd(ctx context.Context, state job.State, end jobstore.End) {
	log := a.worker.log
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	var attrs [10]slog.Attr
	list := append(attrs[:0], slog.String("job_id", string(a.ticket.ID)), slog.String("type", a.started.Type),
		slog.String("state", string(state)), slog.Int("attempt", a.started.Attempt),
		slog.Int64("wait_ms", a.started.Wait.Milliseconds()), slog.Int64("run_ms", end.Usage.WallMS))
	if state == job.Failed {
		list = append(list, slog.String("code", string(end.Code)))
	}
	if id := tracing.TraceID(a.started.Traceparent); id != "" {
		list = append(list, slog.String("trace_id", id))
	}
	if end.Usage.PeakRSSBytes > 0 { // of a child only
		list = append(list, slog.Int64("cpu_ms", end.Usage.CPUMS),
			slog.Int64("rss_bytes", end.Usage.PeakRSSBytes))
	}
	// LogAttrs would look our place in the source up, which no log shows
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "job ended", 0)
	record.AddAttrs(list...)
	_ = log.Handler().Handle(ctx, record) // as slog does
}

// deleteOutputs deletes what a run that didn't succeed wrote.
func (a *attempt) deleteOutputs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := a.worker.sys.Blobs.Delete(ctx, jobstore.Folder(a.ticket.ID)+"/"+a.fence); err != nil {
		a.logger().WarnContext(ctx, "outputs of a failed run stay until the job goes", "error", err)
	}
}
