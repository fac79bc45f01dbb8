package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"longshore/handlers"
	"longshore/internal/blob"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A childWork is the job as its child gets it.
type childWork struct {
	ID        job.ID          `json:"id"`
	Type      string          `json:"type"`
	Attempt   int             `json:"attempt"`
	Attempts  int             `json:"max_attempts"`
	Deadline  time.Time       `json:"deadline"`
	Priority  job.Priority    `json:"priority,omitempty"`
	Queue     string          `json:"queue,omitempty"`
	InputSize int64           `json:"input_size,omitempty"`
	After     []job.After     `json:"after,omitempty"`
	Trace     string          `json:"traceparent,omitempty"`
	Payload   json.RawMessage `json:"payload"`
	MaxOutput int64           `json:"max_output"` // as worker.Config has it
	MinFree   int64           `json:"min_free"`   // … and connect.Config: of the work folder's disk
}

// A childReply is how it ended.
type childReply struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Outputs []childOutput   `json:"outputs,omitempty"`
	Counts  handlers.Counts `json:"counts"`
	Error   *childError     `json:"error,omitempty"`
}

// A childOutput is a file of the work folder that is to become an output.
type childOutput struct {
	File        string `json:"file"`
	Name        string `json:"name"`
	ContentType string `json:"content_type,omitempty"`
}

// A childError carries what package handlers means by an error.
type childError struct {
	Message string        `json:"message"`
	Code    job.Code      `json:"code,omitempty"`
	Final   bool          `json:"final,omitempty"`
	NoSpace bool          `json:"no_space,omitempty"`
	Later   time.Duration `json:"later,omitempty"` // handlers.After
	Delay   time.Duration `json:"delay,omitempty"` // handlers.RetryIn
	Cancel  bool          `json:"cancel,omitempty"`
	Stack   string        `json:"stack,omitempty"` // of a panic
}

// noteRoom bounds a note on its way, so that no frame grows too large.
const noteRoom = 1000

func countsOf(run *handlers.Run) handlers.Counts {
	c := run.Counts()
	c.Note = c.Note[:min(len(c.Note), noteRoom)]
	return c
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this file, and results that were JSON before
	}
	return text
}

func encodeReply(r childReply) []byte { return encode(r) }

// messageRoom bounds an error's text on its way; the record keeps less.
const messageRoom = 4 << 10

// errorOf makes an error fit for the pipe.
func errorOf(ctx context.Context, err error) *childError {
	e := &childError{Message: err.Error()}
	if over := len(e.Message) - messageRoom; over > 0 {
		e.Message = e.Message[:messageRoom]
	}
	var (
		failure *handlers.Failure
		later   *handlers.Postponement
		panics  *panicked
	)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)): // the worker knows the cause
	case errors.As(err, &panics):
		e.Stack = describe(panics)
	case errors.Is(err, handlers.ErrCancel):
		e.Cancel = true
	case errors.As(err, &later):
		e.Later = later.Delay
	case errors.As(err, &failure):
		e.Code, e.Final, e.Delay = failure.Code, failure.Final, failure.Delay
		e.NoSpace = errors.Is(err, blob.ErrNoSpace)
	}
	return e
}

// err is the error that errorOf was made from, as far as judging needs it.
func (e *childError) err() error {
	err := errors.New(e.Message)
	switch {
	case e.Cancel:
		return handlers.ErrCancel
	case e.Later > 0:
		return handlers.After(e.Later)
	case e.Code != "":
		if e.NoSpace {
			err = errors.Join(err, blob.ErrNoSpace)
		}
		return &handlers.Failure{Code: e.Code, Final: e.Final, Delay: e.Delay, Err: err}
	}
	return err
}

// stopCauses are the causes that a handler may see, in a child too.
var stopCauses = []error{errTimeout, errShutdown, jobstore.ErrCanceled, jobstore.ErrLost, jobstore.ErrCutOff}
