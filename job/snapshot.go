package job

import (
	"encoding/json"
	"strings"
	"time"
)

// A Lane is one of the two ways a worker runs jobs, with slots of its own.
type Lane string

// The lanes.
const (
	LaneIO  Lane = "io"  // stream jobs, in the worker's process, many at once
	LaneCPU Lane = "cpu" // CPU jobs, one a core
)

// LaneClaim is no worker's: jobs of it wait until a program claims them over HTTP. Each type of each tenant
// has lists of its own there, so nobody is handed what it can't run.
const LaneClaim Lane = "claim"

// Lanes lists the lanes that workers serve.
var Lanes = []Lane{LaneIO, LaneCPU}

// A Priority orders the jobs of one lane by weight.
type Priority string

// The priorities.
const (
	High    Priority = "high"
	Default Priority = "default"
	Low     Priority = "low"
)

// Priorities lists the priorities, most urgent first. A further one is a constant and an entry here.
var Priorities = []Priority{High, Default, Low}

var weights = map[Priority]int{High: 6, Default: 3, Low: 1}

// Weight is the priority's share of a busy lane, against those of the others that have jobs.
func (p Priority) Weight() int { return weights[p] }

// PriorityNames lists the priorities for people: "high, default or low".
func PriorityNames() string {
	var text strings.Builder
	for i, p := range Priorities {
		switch {
		case i > 0 && i == len(Priorities)-1:
			text.WriteString(" or ")
		case i > 0:
			text.WriteString(", ")
		}
		text.WriteString(string(p))
	}
	return text.String()
}

// Place is where the job waits for a worker.
func (s *Snapshot) Place() Place {
	return PlaceOf(s.Lane, s.Priority, s.Queue, s.Tenant, s.Type)
}

// A Snapshot is one job as every client sees it: the same over HTTP, the CLI
// and all ways of push. Two snapshots with the same Rev are equal but for WaitingFor and Limit.
type Snapshot struct {
	ID              ID       `json:"id"`
	Type            string   `json:"type"`
	State           State    `json:"state" enum:"uploading,waiting,scheduled,queued,running,retrying,succeeded,failed,canceled,expired"`
	Done            bool     `json:"done"`
	Rev             int64    `json:"rev"` // grows by one with each change
	Lane            Lane     `json:"lane" enum:"cpu,io"`
	Priority        Priority `json:"priority" enum:"high,default,low"`
	Queue           string   `json:"queue,omitempty" doc:"the queue that it was submitted to; absent: default"`
	Attempt         int      `json:"attempt"` // the attempt that runs or ran last; 0 before the first
	MaxAttempts     int      `json:"max_attempts"`
	CancelRequested bool     `json:"cancel_requested"`
	RetryOf         ID       `json:"retry_of,omitempty"`
	RetriedAs       ID       `json:"retried_as,omitempty" doc:"the newest job that is a retry of this one"`
	// Schedule is what has made the job, where that was one.
	Schedule *ScheduleTick `json:"schedule,omitempty" doc:"the schedule that has made the job"`
	// After are the jobs that have to end before it, Hold is why it waits until it is released, or did.
	After []After `json:"after,omitempty" doc:"the jobs that have to end before it"`
	Hold  *Hold   `json:"hold,omitempty" doc:"why it waits until somebody releases it, or did"`
	// LimitKey is what limits tell it apart by, Limit is the one that it waits for.
	LimitKey string `json:"limit_key,omitempty" doc:"what limits tell it apart by, as a customer"`
	Limit    string `json:"limit,omitempty" doc:"the limit of jobs at once that it waits for, as it was when the job was read"`
	// DeleteInput says that the job's input goes at its end, InputDeletedAt when it went.
	DeleteInput    string     `json:"delete_input,omitempty" enum:"on_success,at_end" doc:"when the job's input goes before the job does"`
	InputDeletedAt *time.Time `json:"input_deleted_at,omitempty" doc:"when the input went"`
	// Batch is the one that the job is of, and Name what it is called there; Jobs is how far a batch is.
	Batch ID     `json:"batch,omitempty" doc:"the batch that the job is of"`
	Name  string `json:"batch_name,omitempty" doc:"what the job is called in its batch, or the batch itself"`
	Jobs  *Tally `json:"jobs,omitempty" doc:"of a batch: how far its jobs are"`
	// Tenant and Subject are whose the job is; "" = of the tenant default, of no user in particular.
	Tenant  string `json:"tenant,omitempty" doc:"whose the job is, where that isn't default"`
	Subject string `json:"subject,omitempty" doc:"the app's own name of the user whose the job is"`
	Labels  Labels `json:"labels,omitempty" doc:"what the job is found by"`
	// Traceparent is whose trace the job is of, as https://www.w3.org/TR/trace-context/ writes it.
	Traceparent string `json:"traceparent,omitempty" doc:"the trace of whoever submitted the job, as W3C's header"`
	// Overall is how far the job is from the first byte of its upload to its
	// result, 0 to 1; nil = not known. It never goes back.
	Overall *float64 `json:"overall" doc:"how far the job is from the first byte of its upload to its result, 0 to 1; it never goes back; null = not known"`
	// WaitingFor says what a job waits for that has neither ended nor runs. It is
	// reckoned when the job is read, and may change without a change of Rev.
	WaitingFor Waiting         `json:"waiting_for,omitempty" enum:"time,paused,worker,slots,jobs,release,limit" doc:"what the job waits for, reckoned when it is read"`
	Progress   *Progress       `json:"progress,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Outputs    []Output        `json:"outputs,omitempty"`
	Error      *Error          `json:"error,omitempty"`
	Errors     []AttemptError  `json:"errors,omitempty"` // of the last MaxErrors failed attempts
	Usage      *Usage          `json:"usage,omitempty"`
	// Function is what a deployed function ran by, last; before it has run what the job was
	// accepted for.
	Function   *FunctionRun `json:"function,omitempty"`
	CreatedAt  time.Time    `json:"created_at"`
	RunAt      *time.Time   `json:"run_at,omitempty"`
	StartedAt  *time.Time   `json:"started_at,omitempty"` // of the last start
	FinishedAt *time.Time   `json:"finished_at,omitempty"`
	ExpiresAt  *time.Time   `json:"expires_at,omitempty"`
	Links      *Links       `json:"links,omitempty"` // set by the web server, paths only

	Worker string `json:"-"` // the id of who runs it, or ran it last; "" = nobody yet, or not told
}

// When the input of a job goes, other than with its record.
const (
	DeleteNever     = "never" // what a type's policy is overruled with
	DeleteOnSuccess = "on_success"
	DeleteAtEnd     = "at_end"
)

// InputGone reports whether the job's input, if it had one, is gone or about to go, so that it can't be run
// again.
func (s *Snapshot) InputGone() bool {
	return s.InputDeletedAt != nil ||
		s.Done && (s.DeleteInput == DeleteAtEnd || s.DeleteInput == DeleteOnSuccess && s.State == Succeeded)
}

// MaxErrors is the number of failed attempts a job remembers.
const MaxErrors = 10

// MaxDocument is the size limit of a payload and of a result, in bytes; data lives in blobs.
const MaxDocument = 64 << 10

// Links are the paths that belong to a job, relative to the server's root.
type Links struct {
	Self   string `json:"self"`
	Events string `json:"events,omitempty"`
	Cancel string `json:"cancel,omitempty"`
	Result string `json:"result,omitempty"`
}

// A Phase says which part of the work a Progress counts.
type Phase string

// The phases.
const (
	PhaseUpload Phase = "upload"
	PhaseRun    Phase = "run"
)

// Progress is how far a job has come. Numbers that are not known are absent.
type Progress struct {
	Phase      Phase    `json:"phase"`
	BytesDone  int64    `json:"bytes_done"`            // of the input
	BytesTotal int64    `json:"bytes_total,omitempty"` // of the input
	Records    int64    `json:"records,omitempty"`     // lines, rows, pixels rows: what the task counts
	Fraction   *float64 `json:"fraction,omitempty"`    // 0 to 1
	Rate       float64  `json:"rate_bytes_per_s,omitempty"`
	ETA        *float64 `json:"eta_s,omitempty"` // seconds left
	Note       string   `json:"note,omitempty"`

	// Reached is how much of the whole this phase and those before have done, as
	// far as that is known: for Snapshot.Overall, and for the next attempt.
	Reached float64 `json:"-"`
}

// UploadShare is the part of the whole that an upload is: nobody knows before how long
// the work on it takes.
const UploadShare = 0.5

// Overall is Snapshot.Overall of a job with this progress, nil where it has none.
func Overall(s State, p *Progress) *float64 {
	reached := 0.0
	switch {
	case s == Succeeded:
		reached = 1
	case p == nil && (s == Uploading || s == Running):
		return nil
	case p == nil:
	case p.Fraction == nil && (s == Uploading || s == Running):
		return nil
	default:
		reached = p.Reached
	}
	return &reached
}

// A Waiting is what a job waits for, in a word.
type Waiting string

// What a job may wait for.
const (
	WaitingTime    Waiting = "time"    // its run_at, or the pause before its next attempt
	WaitingPaused  Waiting = "paused"  // its queue is paused
	WaitingWorker  Waiting = "worker"  // no worker that is alive takes its type
	WaitingSlots   Waiting = "slots"   // its turn
	WaitingJobs    Waiting = "jobs"    // others that have to end before it
	WaitingRelease Waiting = "release" // somebody who releases it
	WaitingLimit   Waiting = "limit"   // as many of its kind run as may
)

// An Output is one file that a job made.
type Output struct {
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"` // hex
	Href        string `json:"href,omitempty"`

	Blob string `json:"-"` // the name in the blob store; never sent
}

// Usage is what the last attempt cost. CPU time and peak memory are known only
// where the job had a process of its own.
type Usage struct {
	WallMS       int64 `json:"wall_ms"`
	CPUMS        int64 `json:"cpu_ms,omitempty"`
	PeakRSSBytes int64 `json:"peak_rss_bytes,omitempty"`
}

// A ScheduleTick is what of a schedule has made a job.
type ScheduleTick struct {
	Name string     `json:"name"`
	Tick *time.Time `json:"tick,omitempty" doc:"the time that the job stands for; absent of one that was made by hand"`
}

// A FunctionRun is the version of a deployed function that a job ran by.
type FunctionRun struct {
	Version int64 `json:"version"`
}

// An Error says why a job did not succeed.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// An AttemptError says why one attempt failed.
type AttemptError struct {
	Attempt int       `json:"attempt"`
	Code    Code      `json:"code"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	// Function is what it ran by, of a deployed function.
	Function *FunctionRun `json:"function,omitempty"`
}

// A Code is the stable name of a reason why a job failed.
type Code string

// The failure codes of a job.
const (
	HandlerError     Code = "handler_error"
	Timeout          Code = "timeout"
	OutOfMemory      Code = "out_of_memory"
	Crashed          Code = "crashed"
	Poisoned         Code = "poisoned" // its workers died again and again
	UploadIncomplete Code = "upload_incomplete"
	CorruptInput     Code = "corrupt_input"
	RecordTooLong    Code = "record_too_long"
	OutputLimit      Code = "output_limit"
	WindowLimit      Code = "window_limit" // a zstd frame needs more memory than is given
	StepLimit        Code = "step_limit"
	ImageTooLarge    Code = "image_too_large"
	TypeMismatch     Code = "type_mismatch"
	StorageError     Code = "storage_error"
	PayloadRefused   Code = "payload_refused" // the function has changed since the job was accepted
	// SecretUnreadable: the key that sealed a secret value of the payload is not the worker's.
	SecretUnreadable Code = "secret_unreadable"
	Unsupported      Code = "unsupported" // this worker lacks a program that the job needs
	// Of canceled jobs: one that they are after didn't succeed, or its record went before it was heard of.
	DependencyFailed Code = "dependency_failed"
	DependencyGone   Code = "dependency_gone"
	// Of a batch: not all of its jobs succeeded.
	JobsFailed Code = "jobs_failed"
)

// Codes lists the codes above.
var Codes = []Code{HandlerError, Timeout, OutOfMemory, Crashed, Poisoned, UploadIncomplete, CorruptInput,
	RecordTooLong, OutputLimit, WindowLimit, StepLimit, ImageTooLarge, TypeMismatch, StorageError,
	Unsupported, DependencyFailed, DependencyGone, JobsFailed}
