package handlers

import (
	"context"
	"io"

	"longshore/internal/stream"
	"longshore/job"
)

// A Run is one attempt at one job, as its handler sees it.
type Run struct {
	ID        job.ID
	Type      string
	Attempt   int
	InputSize int64 // bytes; 0 without an input

	// Counts are what the client sees as progress. Reading from Input counts
	// by itself.
	Counts *stream.Counts

	Files Files
}

// Files is where a run's input comes from and its outputs go; the worker
// brings it.
type Files interface {
	// Input opens the job's input from its start. It may be called again.
	Input(ctx context.Context) (io.ReadCloser, error)
	// Output starts an output. The name is a plain file name.
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
		return nil, err
	}
	r.Counts.Total.Store(r.InputSize)
	r.Counts.In.Store(0)
	return &countedInput{ctx, in, r.Counts}, nil
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
	return n, err
}

// Output starts an output of the job, counted in Counts.Out when written.
func (r *Run) Output(ctx context.Context, name, contentType string) (Output, error) {
	out, err := r.Files.Output(ctx, name, contentType)
	if err != nil {
		return nil, err
	}
	return &countedOutput{out, r.Counts}, nil
}

type countedOutput struct {
	Output
	counts *stream.Counts
}

func (c *countedOutput) Write(p []byte) (int, error) {
	n, err := c.Output.Write(p)
	c.counts.Out.Add(int64(n))
	return n, err
}
