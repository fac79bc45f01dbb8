package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/stream"
	"longshore/job"
)

// runBoundCase is the child.
func runBoundCase() {
	var c boundCase
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		panic(err)
	}
	open := func() io.Reader { return &repeated{head: c.Head, body: c.Body, left: c.Total} }
	if c.Pack != "" {
		var b bytes.Buffer
		z, err := stream.NewWriter(&b, c.Pack, 1)
		if err == nil {
			_, err = io.Copy(z, io.LimitReader(open(), 64<<20))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			panic(err)
		}
		text := b.Bytes()
		open = func() io.Reader { return bytes.NewReader(text) }
	}
	limit := syscall.Rlimit{Cur: boundMemory, Max: boundMemory}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		panic(err)
	}
	entry, _ := handlers.BuiltIn().Lookup(c.Type)
	ctx, cancel := context.WithTimeoutCause(context.Background(), boundTime, errBoundTime)
	defer cancel()
	end := time.Now().Add(boundTime)
	files := &boundFiles{open: open}
	run, _ := handlerstest.NewRun(c.Type, nil)
	run.Files, run.InputSize = files, c.Total
	_, err := entry.Run(ctx, run, []byte(c.Payload))
	r := boundResult{Out: files.out, LateMS: max(0, time.Since(end).Milliseconds())}
	if err != nil {
		r.Error = err.Error()
		if failure := (*handlers.Failure)(nil); errors.As(err, &failure) {
			r.Code = failure.Code
		} else if errors.Is(err, errBoundTime) {
			r.Code = job.Timeout
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(r) // else the parent misses it
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	n := copy(p, r.head)
	r.head = r.head[n:]
	for len(r.head) == 0 && len(r.body) > 0 && n < len(p) {
		m := copy(p[n:], r.body[r.at:])
		n += m
		r.at = (r.at + m) % len(r.body)
	}
	r.left -= int64(n)
	return n, nil
}

func (f *boundFiles) Input(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(f.open()), nil
}

func (f *boundFiles) Output(context.Context, string, string) (handlers.Output, error) { return f, nil }

func (f *boundFiles) Write(p []byte) (int, error) {
	if f.out+int64(len(p)) > boundOutput {
		return 0, handlers.FailWith(job.OutputLimit, errors.New("output is over its limit"))
	}
	f.out += int64(len(p))
	return len(p), nil
}

func (f *boundFiles) Commit() error { return nil }

func (f *boundFiles) Abort() error { return nil }

// repeated is a case's input.
type repeated struct {
	head, body []byte
	left       int64
	at         int // in body
}

// boundFiles throw outputs away, and end them at their limit as a worker does.
type boundFiles struct {
	open func() io.Reader
	out  int64
}
