package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/internal/cgroup"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/job"
	"longshore/tasks"
)

// A Local runs a function here, with neither Redis nor a blob store, as a worker would.
type Local struct {
	Host    functions.Host // Base is filled in
	Payload []byte
	Input   string // path of a file; "" = none
	Out     string // folder for outputs; it is made if there are some
	Log     func(functions.Line)
	// Progress is called when the program has told some; nil = nobody cares.
	Progress func(handlers.Counts)
	// Timeout is the type's, unless it is set.
	Timeout time.Duration
}

// errLocalTimeout is the cause of an attempt's end that ran too long.
var errLocalTimeout = errors.New("attempt ran longer than its timeout")

// A LocalOutcome is what it came to.
type LocalOutcome struct {
	functions.Outcome
	Outputs []job.Output // whose Blob is the path of the file
	Wall    time.Duration
}

// Run does one attempt at a function.
func (l *Local) Run(ctx context.Context, f *functions.Function) (o LocalOutcome, err error) {
	info, err := f.Info()
	if err != nil {
		return o, err
	}
	catalog, err := tasks.NewCatalog(info)
	if err != nil {
		return o, err
	}
	payload, err := catalog.Check(f.Type, l.Payload)
	if err != nil {
		return o, fmt.Errorf("payload: %w", err)
	}
	folders, err := isolate.OpenFolders("")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, folders.Close()) }()
	l.Host.Base = folders.Path()
	if groups, none := cgroup.Open(); none == nil { // else it does without, as a worker does
		l.Host.Groups = groups
		defer func() { err = errors.Join(err, groups.Close()) }()
	}
	all := newModes(Config{Folder: filepath.Dir(f.Folder), Host: l.Host, Warm: 1})
	defer func() { err = errors.Join(err, all.close()) }()
	open, ok := all.openers[f.Manifest.Mode]
	if !ok {
		return o, fmt.Errorf("mode %q can't be run here", f.Manifest.Mode)
	}
	executor, err := open(f, &l.Host)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, executor.Close()) }()
	a, files, err := l.attempt(info, payload)
	if err != nil {
		return o, err
	}
	if a.Folder, err = folders.New(); err != nil {
		return o, err
	}
	timeout := info.Timeout()
	if l.Timeout > 0 {
		timeout = l.Timeout
	}
	a.Deadline = time.Now().Add(timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errLocalTimeout)
	defer cancel()
	told := l.follow(ctx, a.Run)
	began := time.Now()
	o.Outcome = executor.Run(ctx, a)
	o.Wall = time.Since(began)
	cancel()
	<-told
	o.Outputs = files.outputs
	if o.Err != nil {
		files.remove()
		o.Outputs = nil
	}
	return o, nil
}

func (l *Local) attempt(info tasks.Info, payload []byte) (*functions.Attempt, *localFiles, error) {
	files := &localFiles{input: l.Input, dir: l.Out, room: l.Host.MaxOutput}
	id := job.NewID(time.Now())
	a := &functions.Attempt{Run: &handlers.Run{ID: id, Type: info.Type, Attempt: 1, Files: files},
		MaxAttempts: info.MaxAttempts, Payload: payload, Log: l.Log}
	if l.Input == "" {
		if info.Input == tasks.InputRequired {
			return nil, nil, errors.New("the function needs an input")
		}
		return a, files, nil
	}
	if info.Input == tasks.NoInput {
		return nil, nil, errors.New("the function takes no input")
	}
	stat, err := os.Stat(l.Input)
	if err != nil {
		return nil, nil, fmt.Errorf("input: %w", err)
	}
	a.HasInput, a.InputSize, a.InputName = true, stat.Size(), filepath.Base(l.Input)
	return a, files, nil
}

// follow tells progress until ctx ends.
func (l *Local) follow(ctx context.Context, run *handlers.Run) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		if l.Progress != nil {
			functions.Follow(ctx, run, 100*time.Millisecond, l.Progress)
		}
	}()
	return done
}

// TimedOut reports whether an attempt ran out of its time.
func (o LocalOutcome) TimedOut() bool { return errors.Is(o.Err, errLocalTimeout) }

// localFiles are files of this machine.
type localFiles struct {
	input, dir string

	mu      sync.Mutex
	room    int64
	outputs []job.Output
}

func (f *localFiles) Input(context.Context) (io.ReadCloser, error) {
	if f.input == "" {
		return nil, handlers.Fail(errors.New("the job has no input"))
	}
	return os.Open(f.input)
}

func (f *localFiles) Output(_ context.Context, name, contentType string) (handlers.Output, error) {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(f.dir, ".output-")
	if err != nil {
		return nil, err
	}
	return &localOutput{File: file, files: f, output: job.Output{Name: name, ContentType: contentType,
		Blob: filepath.Join(f.dir, name)}}, nil
}

func (f *localFiles) remove() {
	for _, o := range f.outputs {
		_ = os.Remove(o.Blob)
	}
}

type localOutput struct {
	*os.File
	files  *localFiles
	output job.Output
	ended  bool
}

func (o *localOutput) Write(p []byte) (int, error) {
	o.files.mu.Lock()
	o.files.room -= int64(len(p))
	full := o.files.room < 0
	o.files.mu.Unlock()
	if full {
		return 0, handlers.FailWith(job.OutputLimit, errors.New("outputs are over what a job may write here"))
	}
	n, err := o.File.Write(p)
	o.output.Size += int64(n)
	return n, err
}

func (o *localOutput) Commit() error {
	o.ended = true
	err := errors.Join(o.Chmod(0o644), o.File.Close())
	if err == nil {
		err = os.Rename(o.Name(), o.output.Blob)
	}
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.files.outputs = append(o.files.outputs, o.output)
	return err
}

func (o *localOutput) Abort() error {
	if o.ended {
		return nil
	}
	o.ended = true
	return errors.Join(o.File.Close(), os.Remove(o.Name()))
}
