package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/handlers"
	"longshore/internal/isolate"
	"longshore/internal/jobstore"
	"longshore/job"
)

// isolated runs the handler in a child. One that forbids overlap ends itself at
// killAt unless the lease is renewed.
func (a *attempt) isolated(ctx context.Context, run *handlers.Run,
	killAt time.Time) (result []byte, err error) {
	pool := a.worker.pool
	if pool == nil { // it was put into lane io by a program that knows the type only from Redis
		return nil, fmt.Errorf("%w: this worker doesn't serve lane cpu", isolate.ErrStart)
	}
	folder, err := pool.Folder()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", isolate.ErrStart, err)
	}
	defer func() {
		if err := pool.RemoveFolder(folder); err != nil {
			a.logger().WarnContext(ctx, "work folder stays until the worker's end", "error", err)
		}
	}()
	w := isolate.Work{Folder: folder, Stop: a.worker.stopChild, Renewals: a.renewals,
		Body: encode(childWork{ID: run.ID, Type: run.Type, Attempt: run.Attempt, InputSize: run.InputSize,
			Attempts: run.MaxAttempts, Deadline: run.Deadline, Priority: run.Priority, Queue: run.Queue,
			After: run.After, Trace: run.Traceparent, Payload: a.started.Spec.Payload,
			MaxOutput: a.worker.config.MaxOutput, MinFree: a.worker.sys.MinFreeSpace}),
		News: func(news []byte) { take(news, run) },
		Log:  func(line []byte) { a.relay(ctx, line) }}
	if a.entry.Info.ForbidOverlap {
		w.Until = killAt
	}
	if in := a.started.Spec.Input; in != nil {
		closer, file, err := inputFile(ctx, a.worker.sys.Blobs, in.Blob, folder,
			floorOf(folder, a.worker.sys.MinFreeSpace))
		if err != nil {
			return nil, &handlers.Failure{Code: job.StorageError, Err: err}
		}
		defer closer.Close()
		w.Input = file
	}
	reply, err := pool.Run(ctx, w)
	a.usage = job.Usage{CPUMS: reply.Usage.CPU.Milliseconds(), PeakRSSBytes: reply.Usage.PeakResident}
	a.logStderr(ctx, reply.Stderr, err)
	if err != nil {
		return nil, err
	}
	return a.read(ctx, run, folder, reply.Body)
}

// read takes a child's reply apart.
func (a *attempt) read(ctx context.Context, run *handlers.Run, folder string, body []byte) ([]byte, error) {
	var r childReply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, &isolate.Death{How: "gave an answer that can't be read"}
	}
	run.SetCounts(r.Counts)
	if r.Error != nil {
		if r.Error.Stack != "" {
			a.logger().ErrorContext(ctx, "handler panicked", "stack", r.Error.Stack)
		}
		return nil, r.Error.err()
	}
	if err := run.Files.(*files).collect(ctx, folder, r.Outputs); err != nil {
		return nil, storageFailure(err)
	}
	return r.Result, nil
}

// storageFailure marks an error of the outputs, unless it has a code.
func storageFailure(err error) error {
	if f := (*handlers.Failure)(nil); errors.As(err, &f) {
		return f
	}
	return &handlers.Failure{Code: job.StorageError, Err: err}
}

// take makes a child's counts the run's.
func take(news []byte, run *handlers.Run) {
	var counts handlers.Counts
	if json.Unmarshal(news, &counts) == nil { // news that can't be read are none
		run.SetCounts(counts)
	}
}

// logStderr keeps what a child wrote to stdout and stderr for the operator.
func (a *attempt) logStderr(ctx context.Context, text []byte, err error) {
	text = []byte(a.hide(string(text)))
	switch {
	case err != nil && !errors.Is(err, context.Cause(ctx)):
		a.logger().WarnContext(ctx, "child has died", "how", err, "stderr", string(text))
	case len(text) > 0:
		a.logger().DebugContext(ctx, "child wrote", "stderr", string(text))
	}
}

// stopChild says how a child is told to stop, and how long it may take: where
// the lease is over, another worker may start the job any moment.
func (w *worker) stopChild(cause error) (string, time.Duration) {
	for _, known := range stopCauses {
		if errors.Is(cause, known) {
			cause = known
		}
	}
	if errors.Is(cause, jobstore.ErrCutOff) || errors.Is(cause, jobstore.ErrLost) {
		return cause.Error(), 0
	}
	return cause.Error(), w.config.KillGrace
}

// renewed passes a renewal of the lease on to the child: only the latest counts.
func (a *attempt) renewed(killAt time.Time) {
	for {
		select {
		case a.renewals <- killAt:
			return
		default:
		}
		select {
		case <-a.renewals:
		default:
		}
	}
}

func describe(p *panicked) string {
	const most = 16 << 10
	text := fmt.Sprintf("%v\n%s", p.value, p.stack)
	return text[:min(len(text), most)]
}
