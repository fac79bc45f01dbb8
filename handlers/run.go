package handlers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"longshore/internal/printable"
	"longshore/internal/stream"
	"longshore/job"
)

// A Run is one attempt at one job, as its handler sees it.
type Run struct {
	ID      job.ID
	Type    string
	Attempt int
	// MaxAttempts is how many the job may have.
	MaxAttempts int
	// Deadline is when the attempt is ended by its timeout; zero = not known.
	Deadline time.Time
	// Priority and Queue are where the job waited for this attempt; "" = default.
	Priority  job.Priority
	Queue     string
	InputSize int64 // bytes; 0 without an input
	// After is how the jobs have ended that were to end before this one.
	After []job.After
	// Traceparent is the span of this attempt, as https://www.w3.org/TR/trace-context/ writes it, for what
	// the handler calls; "" = the job isn't traced. The handler's context has it too, for OpenTelemetry's API.
	Traceparent string

	Files Files

	counts stream.Counts // what the client sees as progress
	log    func(level slog.Level, text string)
}

// Log is where the handler writes lines for whoever reads the job's log, as GET /v1/jobs/{id}/logs. Each
// Write is a
// line, or several. Beyond 1,000 lines or 256 KiB an attempt keeps its first and last ones; the rest is
// counted. What
// is written there may be read by all who have scope jobs:logs: no secrets.
func (r *Run) Log() io.Writer { return runLog{r} }

type runLog struct{ run *Run }

func (w runLog) Write(p []byte) (int, error) {
	if w.run.log != nil {
		w.run.log(slog.LevelInfo, string(p))
	}
	return len(p), nil
}

// LogTo says who takes the lines of Log; nil = nobody. The worker calls it before the handler runs.
func (r *Run) LogTo(take func(level slog.Level, text string)) { r.log = take }

// Progress says how much of the work is done, in units of the handler's own; a
// total of 0 is not known. What is read from Input and written to outputs counts by
// itself: a handler whose work is to read its input needs no call.
func (r *Run) Progress(done, total int64) {
	r.counts.Total.Store(total)
	r.counts.Done.Store(done)
}

// Records counts n more records: lines, rows, pictures, whatever the work is about.
func (r *Run) Records(n int64) { r.counts.Records.Add(n) }

// Note says in a word what the run is at.
func (r *Run) Note(text string) { r.counts.SetNote(text) }

// Counts are what a run has counted up to a moment.
type Counts struct {
	In      int64 `json:"in,omitempty"`      // bytes read from the input
	Out     int64 `json:"out,omitempty"`     // bytes written
	Records int64 `json:"records,omitempty"` // see Run.Records
	// units of work in all: bytes of the input unless Done is used; 0 = unknown
	Total int64  `json:"total,omitempty"`
	Done  int64  `json:"done,omitempty"` // units done where the work is not reading the input
	Note  string `json:"note,omitempty"`
}

// Counts returns what has been counted. It may be called at any time.
func (r *Run) Counts() Counts {
	c := &r.counts
	return Counts{In: c.In.Load(), Out: c.Out.Load(), Records: c.Records.Load(), Total: c.Total.Load(),
		Done: c.Done.Load(), Note: c.Note()}
}

// SetCounts takes over what was counted elsewhere: where the handler runs in
// another process, it tells now and then.
func (r *Run) SetCounts(to Counts) {
	c := &r.counts
	c.In.Store(to.In)
	c.Out.Store(to.Out)
	c.Records.Store(to.Records)
	c.Total.Store(to.Total)
	c.Done.Store(to.Done)
	if to.Note != c.Note() {
		c.SetNote(to.Note)
	}
}

// Files is where a run's input comes from and its outputs go; the worker
// brings it.
type Files interface {
	// Input opens the job's input from its start. It may be called again.
	Input(ctx context.Context) (io.ReadCloser, error)
	// Output starts an output. The name is a plain file name. Without a
	// content type it is told from the first bytes.
	Output(ctx context.Context, name, contentType string) (Output, error)
}

// An Output receives one file. Without Commit it is thrown away.
type Output interface {
	io.Writer
	Commit() error
	Abort() error // after Commit: does nothing
}

// Input opens the job's input; what is read counts as progress.
func (r *Run) Input(ctx context.Context) (io.ReadCloser, error) {
	in, err := r.Files.Input(ctx)
	if err != nil {
		return nil, storageError(ctx, err)
	}
	r.counts.Total.Store(r.InputSize)
	r.counts.In.Store(0)
	return &countedInput{ctx, in, &r.counts}, nil
}

// countedInput counts what is read, and ends reading when the run ends.
type countedInput struct {
	ctx context.Context
	io.ReadCloser
	counts *stream.Counts
}

func (c *countedInput) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.ReadCloser.Read(p)
	c.counts.In.Add(int64(n))
	if err != nil && !stream.Ended(err) {
		err = storageError(c.ctx, err)
	}
	return n, err
}

// Output starts an output of the job, counted when written. The
// name must be a plain file name of at most 255 bytes.
func (r *Run) Output(ctx context.Context, name, contentType string) (Output, error) {
	if !printable.FileName(name) {
		return nil, Fail(fmt.Errorf("output name %q is not a plain file name", name))
	}
	out, err := r.Files.Output(ctx, name, contentType)
	if err != nil {
		return nil, storageError(ctx, err)
	}
	return &countedOutput{ctx, out, &r.counts}, nil
}

type countedOutput struct {
	ctx context.Context
	Output
	counts *stream.Counts
}

func (c *countedOutput) Write(p []byte) (int, error) {
	n, err := c.Output.Write(p)
	c.counts.Out.Add(int64(n))
	if err != nil {
		err = storageError(c.ctx, err)
	}
	return n, err
}

func (c *countedOutput) Commit() error {
	if err := c.Output.Commit(); err != nil {
		return storageError(c.ctx, err)
	}
	return nil
}
