package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"longshore/handlers"
	"longshore/internal/blob"
	"longshore/internal/jobstore"
	"longshore/job"
)

// files brings a run its input and takes its outputs, in the blob store. Its
// errors become storage_error in package handlers, but for those that have a
// code of their own.
type files struct {
	blobs  blob.Store
	spec   jobstore.Spec
	prefix string // "<id>/<fence>/": no two runs write the same blob

	room allowance

	mu      sync.Mutex
	outputs []job.Output
}

// An allowance bounds what a run writes: the bytes of all its outputs. It is
// safe for concurrent use.
type allowance struct {
	max  int64
	used atomic.Int64
}

// take counts n bytes before they are written.
func (a *allowance) take(n int) error {
	if a.used.Add(int64(n)) > a.max {
		return handlers.FailWith(job.OutputLimit,
			fmt.Errorf("outputs are over %d bytes, the most that a job may write here", a.max))
	}
	return nil
}

var _ handlers.Files = (*files)(nil)

// Input opens the job's input.
func (f *files) Input(ctx context.Context) (io.ReadCloser, error) {
	if f.spec.Input == nil {
		return nil, handlers.Fail(errors.New("the job has no input"))
	}
	return f.blobs.Open(ctx, f.spec.Input.Blob)
}

// maxOutputs bounds what a record lists.
const maxOutputs = 100

// admit refuses an output that a record could not list beside those there are.
func admit[O any](outputs []O, nameOf func(O) string, name string) error {
	if len(outputs) >= maxOutputs {
		return handlers.FailWith(job.OutputLimit, fmt.Errorf("more than %d outputs", maxOutputs))
	}
	for _, o := range outputs {
		if nameOf(o) == name {
			return handlers.Fail(fmt.Errorf("output %q was written before", name))
		}
	}
	return nil
}

// Output starts an output.
func (f *files) Output(ctx context.Context, name, contentType string) (handlers.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := admit(f.outputs, func(o job.Output) string { return o.Name }, name); err != nil {
		return nil, err
	}
	w, err := f.blobs.Create(ctx, f.prefix+name)
	if err != nil {
		return nil, err
	}
	return &output{Writer: w, files: f, name: name, contentType: contentType}, nil
}

type output struct {
	blob.Writer
	files       *files
	name        string
	contentType string
	size        int64
	ended       bool
}

func (o *output) Write(p []byte) (int, error) {
	if err := o.files.room.take(len(p)); err != nil {
		return 0, err
	}
	o.size += int64(len(p))
	return o.Writer.Write(p)
}

// Abort throws the output away, so that its bytes count no more.
func (o *output) Abort() error {
	if !o.ended {
		o.ended = true
		o.files.room.used.Add(-o.size)
	}
	return o.Writer.Abort()
}

// Commit makes the output durable; it becomes the job's if the run succeeds.
func (o *output) Commit() error {
	o.ended = true
	info, err := o.Writer.Commit()
	if err != nil {
		return err
	}
	if o.contentType == "" {
		o.contentType = info.ContentType
	}
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.files.outputs = append(o.files.outputs, job.Output{Name: o.name, Size: info.Size,
		ContentType: o.contentType,
		SHA256:      info.SHA256, Blob: o.files.prefix + o.name})
	return nil
}

func (f *files) committed() []job.Output {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outputs
}

// storageMessage is what a client may know of trouble with the blob store.
func storageMessage(err error) string {
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return "the input is gone from the blob store"
	case errors.Is(err, blob.ErrNoSpace):
		return "no space left in the blob store"
	default:
		return "the blob store failed"
	}
}
