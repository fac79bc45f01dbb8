package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"longshore/handlers"
	"longshore/internal/functions/host"
	"longshore/internal/isolate"
	"longshore/internal/tracing"
)

// served is the registry that children of this process have.
var served atomic.Pointer[handlers.Registry]

// Main must be the first call of a program that runs workers, in main and in
// TestMain: jobs of lane cpu run in child processes of the program itself, and
// in such a process Main runs the registry's handlers and never returns. The
// registry must have every type that the program serves and that has such jobs.
func Main(r *handlers.Registry) {
	served.Store(r)
	isolate.Main(func(ctx context.Context, o *isolate.Order) ([]byte, bool) {
		if reply, worn, ok := host.Serve(ctx, o); ok {
			return reply, worn
		}
		return serveChild(ctx, r, o)
	})
}

// errMain says what a program with jobs of lane cpu has forgotten.
var errMain = fmt.Errorf("%w: worker.Main, with the handlers of lane cpu, must be the first call of main",
	ErrSettings)

// checkMain returns an error unless children can run every type of lane cpu.
func checkMain(r *handlers.Registry) error {
	theirs := served.Load()
	for _, name := range childTypes(r) {
		if theirs == nil {
			return errMain
		}
		if _, ok := theirs.Lookup(name); !ok {
			return fmt.Errorf("%w; %s is not among them", errMain, name)
		}
	}
	return nil
}

// childTypes lists the types whose jobs, or some of them, run in children.
func childTypes(r *handlers.Registry) []string {
	var names []string
	for _, name := range r.Types() {
		if e, _ := r.Lookup(name); e.Info.MayNeedChild() {
			names = append(names, name)
		}
	}
	return names
}

// newsEvery is how often a child tells its counts: as often as the keeper beats.
const newsEvery = 200 * time.Millisecond

// serveChild runs one job, in the child.
func serveChild(ctx context.Context, r *handlers.Registry, o *isolate.Order) (reply []byte, worn bool) {
	logTo(o)
	var w childWork
	if err := json.Unmarshal(o.Body, &w); err != nil {
		return encodeReply(childReply{Error: &childError{Message: "job can't be read: " + err.Error()}}), true
	}
	entry, ok := r.Lookup(w.Type)
	if !ok {
		return encodeReply(childReply{Error: &childError{Message: "no handler of " + w.Type}}), true
	}
	ctx, end := stoppedBy(tracing.With(ctx, w.Trace))
	defer end()
	files := &childFiles{folder: o.Folder, input: o.Input, room: allowance{max: w.MaxOutput},
		floor: floorOf(o.Folder, w.MinFree)}
	run := &handlers.Run{ID: w.ID, Type: w.Type, Attempt: w.Attempt, InputSize: w.InputSize,
		MaxAttempts: w.Attempts, Deadline: w.Deadline, Priority: w.Priority, Queue: w.Queue,
		After: w.After, Traceparent: w.Trace, Files: files}
	logRun(ctx, run)
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		tell(o, run, stop)
	}()
	result, err := runChild(ctx, entry, run, w.Payload)
	close(stop)
	<-done

	answer := childReply{Result: result, Outputs: files.committed(), Counts: countsOf(run)}
	if err != nil {
		answer.Result, answer.Error = nil, errorOf(ctx, err)
	}
	return encodeReply(answer), answer.Error != nil && answer.Error.Stack != ""
}

// A panicked is what a handler's panic becomes.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return "handler panicked" }

func runChild(ctx context.Context, e handlers.Entry, run *handlers.Run,
	payload []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return e.Run(ctx, run, payload)
}

// tell reports the counts, when they have changed, until stop is closed.
func tell(o *isolate.Order, run *handlers.Run, stop <-chan struct{}) {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	var last handlers.Counts
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if now := countsOf(run); now != last {
			last = now
			o.Tell(encode(now))
		}
	}
}

// stoppedBy gives a context in a child the cause that it would have in the
// worker's process.
func stoppedBy(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	release := context.AfterFunc(parent, func() {
		cause := context.Cause(parent)
		if s := (*isolate.Stopped)(nil); errors.As(cause, &s) {
			for _, known := range stopCauses {
				if known.Error() == s.Reason {
					cause = known
				}
			}
		}
		cancel(cause)
	})
	return ctx, func() { release(); cancel(nil) }
}

// logTo sends what the handler logs by the default logger to the worker, which
// adds the job's id.
func logTo(o *isolate.Order) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(orderLog{o}, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// jobLine marks a line of Run.Log, which is for the job's log alone.
const jobLine = "job_log"

// logRun has the lines of a run's log sent to the worker.
func logRun(ctx context.Context, run *handlers.Run) {
	run.LogTo(func(level slog.Level, text string) {
		slog.Log(ctx, level, text, jobLine, true) //nolint:sloglint // the handler's own words
	})
}

// withAttrs is a line with what was said beside it.
func withAttrs(message string, attrs []slog.Attr) string {
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	for _, attr := range attrs {
		message += " " + attr.Key + "=" + attr.Value.String()
	}
	return message
}

type orderLog struct{ order *isolate.Order }

func (w orderLog) Write(line []byte) (int, error) {
	w.order.Log(bytes.TrimSpace(line))
	return len(line), nil
}

// relay logs a line of a child's, and puts it into the job's log. One of the job's own (jobLine) goes
// only there.
func (a *attempt) relay(ctx context.Context, line []byte) {
	line = []byte(a.hide(string(line)))
	log := a.logger()
	fields := map[string]any{}
	if err := json.Unmarshal(line, &fields); err != nil {
		log.InfoContext(ctx, "handler says", "text", string(line))
		a.log.add(slog.LevelInfo, string(line))
		return
	}
	level := slog.LevelInfo
	text, _ := fields[slog.LevelKey].(string)
	_ = level.UnmarshalText([]byte(text)) // else info
	message, _ := fields[slog.MessageKey].(string)
	var attrs []slog.Attr
	for name, value := range fields {
		switch name {
		case slog.LevelKey, slog.MessageKey, slog.TimeKey:
		default:
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	if _, own := fields[jobLine]; own {
		a.log.add(level, message)
		return
	}
	a.log.add(level, withAttrs(message, attrs))
	log.LogAttrs(ctx, level, message, attrs...) //nolint:sloglint // the handler's own words
}
