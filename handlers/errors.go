package handlers

import (
	"errors"
	"fmt"
	"time"

	"longshore/internal/printable"
	"longshore/job"
)

// A Failure is an error with a failure code of its own.
type Failure struct {
	Code  job.Code
	Final bool // do not try again
	// Delay is the pause before the next attempt; 0 = the usual one, which doubles.
	Delay time.Duration
	Err   error
}

// Error is the cause's text as clients may see it: in one line, with controls escaped,
// since it may quote what a client sent.
func (f *Failure) Error() string { return printable.Line(f.Err.Error()) }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Fail marks an error as final: the job fails at once with code
// handler_error, or with the code err already has. Fail(nil) is nil.
func Fail(err error) error {
	if err == nil {
		return nil
	}
	code := job.HandlerError
	if f := (*Failure)(nil); errors.As(err, &f) {
		code = f.Code
	}
	return &Failure{Code: code, Final: true, Err: err}
}

// FailWith is Fail with a code.
func FailWith(code job.Code, err error) error {
	return &Failure{Code: code, Final: true, Err: err}
}

// RetryIn marks an error after which the job is tried again in d, if it has attempts left, and not after
// the usual pause. The code is handler_error, or the one that err already has. RetryIn(nil, d) is nil.
func RetryIn(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	code := job.HandlerError
	if f := (*Failure)(nil); errors.As(err, &f) {
		code = f.Code
	}
	return &Failure{Code: code, Delay: max(d, time.Millisecond), Err: err}
}

// ErrCancel is what a handler returns, or wraps, to end its job as canceled: there is nothing to do any more.
var ErrCancel = errors.New("the handler cancels the job")

// A Postponement is what After returns.
type Postponement struct{ Delay time.Duration }

func (p *Postponement) Error() string { return fmt.Sprintf("again after %v", p.Delay) }

// After says that the job should run later, which is no failure and consumes no attempt.
func After(d time.Duration) error { return &Postponement{max(d, time.Millisecond)} }
