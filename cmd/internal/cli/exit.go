package cli

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
	ExitOK            = 0
	ExitOther         = 1
	ExitUsage         = 2
	ExitFailed        = 3 // the job failed
	ExitStopped       = 4 // the job was canceled, or expired
	ExitNotFound      = 5
	ExitUnavailable   = 69 // the server or Redis
	ExitConfiguration = 78
	ExitWaitRanOut    = 124
	ExitInterrupted   = 130
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

// Usage is the error of a wrong command line.
func Usage(format string, args ...any) error {
	return &exit{ExitUsage, fmt.Errorf(format, args...)}
}

// Exit is an error with an exit code of its own.
func Exit(code int, err error) error { return &exit{code, err} }

// Misconfigured is the error of a wrong configuration.
func Misconfigured(err error) error { return &exit{ExitConfiguration, err} }

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
		return &exit{ExitFailed, errors.New(printable.Sprintf("job %s failed: %s", snap.ID, reason))}
	default:
		return &exit{ExitStopped, errors.New(printable.Sprintf("job %s %s", snap.ID, snap.State))}
	}
}

// Report writes the error, if any, and returns the code to exit with. It is
// the one place that maps errors to codes. Lines behind the first are set in, so that
// none of them looks like one of ours.
func Report(err error, stderr io.Writer) int {
	if err == nil {
		return ExitOK
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
		return ExitWaitRanOut
	case errors.As(err, &refused):
		return codeOf(refused)
	default:
		return ExitOther
	}
}

func codeOf(refused *client.Error) int {
	switch refused.Code {
	case httpapi.NotFound:
		return ExitNotFound
	case httpapi.Unavailable, httpapi.QueueFull, httpapi.StoreFull, httpapi.StoreReset, httpapi.RateLimited:
		return ExitUnavailable
	case httpapi.Unauthorized:
		return ExitConfiguration // LONGSHORE_TOKEN is missing or wrong
	default:
		return ExitOther
	}
}
