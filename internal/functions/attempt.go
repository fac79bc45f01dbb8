package functions

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"longshore/handlers"
	"longshore/internal/cgroup"
	"longshore/internal/printable"
	"longshore/job"
)

// An Attempt is one run of one job, as its host hands it to an Executor.
type Attempt struct {
	// Run has id, type, number of the attempt and size of the input, opens the input
	// and starts outputs, both counted, and takes progress. HasInput tells an empty
	// input from none.
	*handlers.Run
	HasInput bool

	MaxAttempts int
	Deadline    time.Time
	Payload     []byte // JSON, an object

	InputType string // its content type, as the client said
	InputName string // … and its file name: may hold anything

	// Folder is the job's own: empty, 0700, removed by the host once Run has
	// returned. Mode exec has its working directory and outputs in it.
	Folder string
	// Slot is a number below the host's slots that no other attempt has meanwhile.
	Slot int

	// Log takes lines of the program's; it is called by one goroutine at a time.
	Log func(Line)
}

// Variables are those that tell a program of its job; input is the path of the private copy
// of its input, "" = there is none.
func (a *Attempt) Variables(payload, out, control, input string) []string {
	env := []string{"LONGSHORE_JOB=" + string(a.ID), "LONGSHORE_TYPE=" + a.Type,
		"LONGSHORE_ATTEMPT=" + strconv.Itoa(a.Run.Attempt),
		"LONGSHORE_MAX_ATTEMPTS=" + strconv.Itoa(a.MaxAttempts),
		"LONGSHORE_DEADLINE=" + a.Deadline.UTC().Format(time.RFC3339Nano),
		"LONGSHORE_PAYLOAD=" + payload, "LONGSHORE_OUT=" + out, "LONGSHORE_CONTROL=" + control}
	if a.HasInput {
		env = append(env, "LONGSHORE_INPUT_SIZE="+strconv.FormatInt(a.InputSize, 10),
			"LONGSHORE_INPUT_TYPE="+printable.Text(a.InputType),
			"LONGSHORE_INPUT_NAME="+printable.Text(a.InputName))
	}
	if len(a.After) > 0 {
		states := map[job.ID]job.State{}
		for _, one := range a.After {
			states[one.ID] = one.State
		}
		text, _ := json.Marshal(states) // texts: can't fail
		env = append(env, "LONGSHORE_AFTER="+string(text))
	}
	if input != "" {
		env = append(env, "LONGSHORE_INPUT="+input)
	}
	if a.Traceparent != "" { // as OpenTelemetry's libraries look for it
		env = append(env, "TRACEPARENT="+a.Traceparent)
	}
	return env
}

// A Line is one line of a program's log: valid UTF-8 without control characters.
type Line struct {
	Level slog.Level
	Text  string
}

// An Outcome is what an attempt came to. An executor gives it once nothing of the job
// runs any more; its outputs have been committed to the Run by then if Err is nil.
type Outcome struct {
	Result []byte // JSON; nil = none
	// Submit are lines of the batch format that the job wants submitted if it succeeds.
	Submit []json.RawMessage
	Usage  job.Usage // CPU time and peak of memory
	// LastLine is the last line of stderr, for whoever reads the failure.
	LastLine string

	// Err is nil of a success. Else it is, and the host judges by it:
	//   the context's cause, where the attempt was stopped by its end, whatever came after;
	//   a *isolate.Death: out of memory, a signal, too many processes;
	//   a *handlers.Failure (final or not) or a *handlers.Postponement;
	//   ErrNotStarted or ErrReleased: the job is given back, no attempt is consumed;
	//   any other: a failed attempt, handler_error.
	Err error
}

var (
	// ErrNotStarted says that nothing of a job has begun and that it can be given back.
	ErrNotStarted = errors.New("function can't be started now")
	// ErrReleased says that the attempt was ended by what ends the host, so it counts for
	// nothing and the job is given back.
	ErrReleased = errors.New("attempt was ended with its host")
)

// An Executor runs a function's attempts.
type Executor interface {
	// Run does one attempt. It stops it when ctx ends, softly for Host.KillGrace and
	// then by force, and returns when nothing of it runs any more. It is called by as
	// many goroutines at once as the lane has slots.
	Run(ctx context.Context, a *Attempt) Outcome
	// Close ends what is kept between attempts. No Run is under way.
	Close() error
}

// An Opener makes an executor of a function: one a mode. It is called when a function
// is found or has changed, so an error is a fault of the function or of the system
// (too little of a sandbox), and leaves the function out.
type Opener func(f *Function, h *Host) (Executor, error)

// A Host is what a worker, or `enqueue functions run`, has for all executors.
type Host struct {
	Slots     map[job.Lane]int // how many attempts may run at once
	Memory    int64            // bytes, of a function that says none; > 0
	MaxOutput int64            // bytes, of all outputs together; > 0
	KillGrace time.Duration    // between a soft stop and a kill
	// Grace is how long it is by the cause of the stop, which may be none at all; nil =
	// KillGrace. Ask GraceOf.
	Grace func(cause error) time.Duration
	// Draining is closed when the host takes no more: a program that dies then by a
	// signal from elsewhere was meant to end with it, see ErrReleased. nil = never.
	Draining <-chan struct{}
	// Base is a folder of the host's own for what executors keep; its name marks the
	// processes that they start (package family).
	Base string
	Log  *slog.Logger
	// User is the number of the user for the first slot, where the host is root, others
	// follow; 0 = programs are started as the host's user.
	User int
	// Groups are control groups for programs; nil = there are none.
	Groups *cgroup.Set
	// Getenv reads the worker's environment, for Manifest.Env.
	Getenv func(string) string
}

// UserOf is the number of the user of a slot; 0 = the host's own.
func (h *Host) UserOf(slot int) int {
	if h.User <= 0 {
		return 0
	}
	return h.User + slot
}

// MemoryOf is what a function's processes may use together, in bytes.
func (h *Host) MemoryOf(f *Function) int64 {
	if f.Manifest.Memory > 0 {
		return f.Manifest.Memory
	}
	return h.Memory
}

// GraceOf is how long an attempt that is stopped by a cause gets to end by itself.
func (h *Host) GraceOf(cause error) time.Duration {
	if h.Grace != nil {
		return h.Grace(cause)
	}
	return h.KillGrace
}
