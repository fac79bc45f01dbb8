package handlers

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"longshore/internal/printable"
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
	if err != nil && !stream.Ended(err) {
		err = storageError(c.ctx, err)
	}
	return n, err
}

// Output starts an output of the job, counted in Counts.Out when written. The
// name must be a plain file name of at most 255 bytes.
func (r *Run) Output(ctx context.Context, name, contentType string) (Output, error) {
	if !plainName(name) {
		return nil, Fail(fmt.Errorf("output name %q is not a plain file name", name))
	}
	out, err := r.Files.Output(ctx, name, contentType)
	if err != nil {
		return nil, storageError(ctx, err)
	}
	return &countedOutput{ctx, out, r.Counts}, nil
}

// plainName refuses what could lead out of a folder, confuse a header or a terminal:
// paths, dot names, invalid UTF-8, control characters, those that turn the order of
// what is read among them.
func plainName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsAny(name, `/\`) && printable.Text(name) == name
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
