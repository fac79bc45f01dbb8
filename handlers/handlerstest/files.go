// Package handlerstest has what tests of handlers need: a run whose files are
// in memory.
package handlerstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/job"
)

// Files is a handlers.Files in memory, safe for concurrent use.
type Files struct {
	// Open opens the input.
	Open func() io.Reader
	// OutputErr, if set, is what each Write to an output returns.
	OutputErr error

	mu        sync.Mutex
	committed map[string][]byte
	open      int
	inputs    int
}

var _ handlers.Files = (*Files)(nil)

// NewRun returns a first attempt at a job with this input.
func NewRun(typ string, input []byte) (*handlers.Run, *Files) {
	files := &Files{Open: func() io.Reader { return bytes.NewReader(input) }}
	return &handlers.Run{ID: job.NewID(time.Now()), Type: typ, Attempt: 1, InputSize: int64(len(input)),
		Files: files}, files
}

// Committed returns the outputs that were committed, by name.
func (f *Files) Committed() map[string][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.committed)
}

// Left returns how many inputs and outputs are still open: 0 once a handler has
// returned.
func (f *Files) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open + f.inputs
}

// Input opens the input.
func (f *Files) Input(context.Context) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inputs++
	return &input{Reader: f.Open(), files: f}, nil
}

type input struct {
	io.Reader
	files  *Files
	closed bool
}

func (i *input) Close() error {
	i.files.mu.Lock()
	defer i.files.mu.Unlock()
	if !i.closed {
		i.closed = true
		i.files.inputs--
	}
	return nil
}

// Output starts an output.
func (f *Files) Output(_ context.Context, name, _ string) (handlers.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.committed[name]; ok {
		return nil, fmt.Errorf("output %s: written twice", name)
	}
	f.open++
	return &output{name: name, files: f}, nil
}

type output struct {
	bytes.Buffer
	name  string
	files *Files
	ended bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.files.OutputErr != nil {
		return 0, o.files.OutputErr
	}
	return o.Buffer.Write(p)
}

func (o *output) Commit() error {
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	if o.ended {
		return errors.New("output has ended already")
	}
	o.end()
	if o.files.committed == nil {
		o.files.committed = map[string][]byte{}
	}
	o.files.committed[o.name] = o.Bytes()
	return nil
}

func (o *output) Abort() error {
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.end()
	return nil
}

func (o *output) end() {
	if !o.ended {
		o.ended = true
		o.files.open--
	}
}
