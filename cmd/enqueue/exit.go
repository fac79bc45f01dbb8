package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/job"
)

// The exit codes. 69 and 78 are those of sysexits.h, 124 is timeout(1)'s, 130
// is how shells report an interrupt.
const (
	exitOK            = 0
	exitOther         = 1
	exitUsage         = 2
	exitFailed        = 3 // the job failed
	exitStopped       = 4 // the job was canceled, or expired
	exitNotFound      = 5
	exitUnavailable   = 69 // the server or Redis
	exitConfiguration = 78
	exitWaitRanOut    = 124
	exitInterrupted   = 130
)

// An exit is an error with an exit code of its own.
type exit struct {
	code int
	err  error // nil: another program has said what is wrong
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

func misconfigured(err error) error { return &exit{exitConfiguration, err} }

var errWaitRanOut = errors.New("the wait ran out; the job goes on")

// ended returns the error of a job that did not succeed; nil for one that did.
func ended(snap job.Snapshot) error {
	switch snap.State {
	case job.Succeeded:
		return nil
	case job.Failed:
		reason := "for no known reason"
		if snap.Error != nil {
			reason = string(snap.Error.Code) + ": " + snap.Error.Message
		}
		return &exit{exitFailed, errors.New(printable.Sprintf("job %s failed: %s", snap.ID, reason))}
	default:
		return &exit{exitStopped, errors.New(printable.Sprintf("job %s %s", snap.ID, snap.State))}
	}
}

// report writes the error, if any, and returns the code to exit with. It is
// the one place that maps errors to codes. Lines behind the first are set in, so that
// none of them looks like one of ours.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	var own *exit
	if errors.As(err, &own) && own.err == nil {
		return own.code
	}
	w := printable.NewWriter(stderr)
	// there is no other place to say it
	_, _ = io.WriteString(w, "enqueue: "+strings.ReplaceAll(err.Error(), "\n", "\n  ")+"\n")
	_ = w.Flush()
	var refused *client.Error
	switch {
	case own != nil:
		return own.code
	case errors.Is(err, errWaitRanOut):
		return exitWaitRanOut
	case errors.As(err, &refused):
		return codeOf(refused)
	default:
		return exitOther
	}
}

func codeOf(refused *client.Error) int {
	switch refused.Code {
	case httpapi.NotFound:
		return exitNotFound
	case httpapi.Unavailable, httpapi.QueueFull, httpapi.StoreFull, httpapi.StoreReset, httpapi.RateLimited:
		return exitUnavailable
	case httpapi.Unauthorized:
		return exitConfiguration // LONGSHORE_TOKEN is missing or wrong
	default:
		return exitOther
	}
}
