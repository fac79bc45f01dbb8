package answer

import (
	"encoding/json"
	"time"

	"longshore/job"
)

// A ClaimRequest asks for jobs.
type ClaimRequest struct {
	Types  []string `json:"types" minItems:"1" maxItems:"100" doc:"types that are run, or globs of them, as photos.*"`
	Queues []string `json:"queues,omitempty" maxItems:"100" doc:"queues to take from; none = all"`
	N      int      `json:"n,omitempty" minimum:"1" maximum:"100" default:"1" doc:"how many jobs at most"`
	Wait   string   `json:"wait,omitempty" doc:"how long to wait for the first one, as 25s; none = not at all"`
	Key    string   `json:"key" minLength:"16" maxLength:"64" doc:"128 random bits, drawn for this request and sent again with its repeats"`
	Try    int      `json:"try,omitempty" minimum:"1" maximum:"1000000" default:"1" doc:"which try of the request this is"`
	Worker string   `json:"worker" minLength:"1" maxLength:"128" doc:"the process that asks, as host:pid:random"`
}

// A ClaimedJob is one that the client is to run.
type ClaimedJob struct {
	ID          job.ID          `json:"id"`
	Claim       string          `json:"claim" doc:"names this attempt in all that is said of it"`
	Type        string          `json:"type"`
	Attempt     int             `json:"attempt" doc:"from 1"`
	MaxAttempts int             `json:"max_attempts"`
	Payload     json.RawMessage `json:"payload"`
	Input       *ClaimedInput   `json:"input,omitempty"`
	After       []job.After     `json:"after,omitempty" doc:"how the jobs before it have ended"`
	Traceparent string          `json:"traceparent,omitempty" doc:"the trace of whoever submitted the job, as W3C's header"`
	TimeoutMS   int64           `json:"timeout_ms" doc:"from when the request was sent; then the attempt ends"`
	LeaseMS     int64           `json:"lease_ms" doc:"from when the request was sent, unless it is renewed"`
}

// A ClaimedInput is the file that a claimed job works on.
type ClaimedInput struct {
	Size int64  `json:"size"`
	Type string `json:"type,omitempty" doc:"media type"`
	Name string `json:"name,omitempty"`
}

// Claimed are jobs that the client is to run.
type Claimed struct {
	Jobs []ClaimedJob `json:"jobs"`
	Sent time.Time    `json:"-"` // when the client sent the request: what durations count from
}

// A RenewRequest says that claimed jobs go on.
type RenewRequest struct {
	Worker string     `json:"worker" minLength:"1" maxLength:"128"`
	Wait   string     `json:"wait,omitempty" doc:"how long to wait for one that is to stop, up to 10s"`
	Jobs   []RenewJob `json:"jobs" minItems:"1" maxItems:"100"`
}

// A RenewJob is one of them.
type RenewJob struct {
	ID       job.ID         `json:"id"`
	Claim    string         `json:"claim"`
	Progress *ClaimProgress `json:"progress,omitempty"`
	Log      *ClaimLog      `json:"log,omitempty"`
}

// A ClaimProgress is how far an attempt is.
type ClaimProgress struct {
	Done  int64  `json:"done" minimum:"0"`
	Total int64  `json:"total,omitempty" minimum:"0" doc:"0 = not known"`
	Note  string `json:"note,omitempty" maxLength:"200"`
}

// A ClaimLog is lines that an attempt has said.
type ClaimLog struct {
	From  int64    `json:"from" minimum:"1" doc:"number of the first one, from 1: what was said before is not said again"`
	Lines []string `json:"lines" maxItems:"1000"`
}

// Why a claimed job is to stop.
const (
	StopCanceled = "canceled" // a client wants it
	StopTimeout  = "timeout"  // it is over its time
	StopLost     = "lost"     // it is another's, or has ended
)

// Renewed says of each job how it goes on.
type Renewed struct {
	Jobs []RenewedJob `json:"jobs"`
}

// A RenewedJob has a lease, or is to stop.
type RenewedJob struct {
	ID      job.ID `json:"id"`
	LeaseMS int64  `json:"lease_ms,omitempty" doc:"from when the request was sent"`
	Stop    string `json:"stop,omitempty" enum:"canceled,timeout,lost"`
}

// A FinishRequest says how claimed jobs have ended.
type FinishRequest struct {
	Jobs []FinishJob `json:"jobs" minItems:"1" maxItems:"100"`
}

// A FinishJob is one of them: with one of result, error, fail, retry_in and release.
type FinishJob struct {
	ID      job.ID          `json:"id"`
	Claim   string          `json:"claim"`
	Outputs []ClaimedOutput `json:"outputs,omitempty" maxItems:"100" doc:"which it has made; others that were sent are dropped"`
	Log     *ClaimLog       `json:"log,omitempty"`
	Result  json.RawMessage `json:"result,omitempty" doc:"it has succeeded; any JSON, null = nothing to tell"`
	Error   *ClaimFailure   `json:"error,omitempty" doc:"the attempt has failed; there may be another"`
	Fail    *ClaimFailure   `json:"fail,omitempty" doc:"the job has failed for good"`
	RetryIn string          `json:"retry_in,omitempty" doc:"again after this, as 30s; consumes no attempt"`
	Release bool            `json:"release,omitempty" doc:"somebody else is to run it; consumes no attempt"`
}

// A ClaimedOutput is an output that was sent.
type ClaimedOutput struct {
	Name string `json:"name"`
	Size int64  `json:"size" minimum:"0" doc:"bytes; another one is output_mismatch"`
}

// A ClaimFailure is why an attempt has failed.
type ClaimFailure struct {
	Message string   `json:"message" maxLength:"10000"`
	Code    job.Code `json:"code,omitempty" enum:"handler_error,crashed,out_of_memory" default:"handler_error"`
}

// Finished says of each job what became of it.
type Finished struct {
	Jobs []FinishedJob `json:"jobs"`
}

// A FinishedJob is how it is now, or why what was said of it doesn't count.
type FinishedJob struct {
	ID      job.ID        `json:"id"`
	State   job.State     `json:"state,omitempty"`
	Rev     int64         `json:"rev,omitempty"`
	Problem *ClaimProblem `json:"problem,omitempty"`
}

// A ClaimProblem is why what was said of a job doesn't count: what a request of its own would have been
// answered with.
type ClaimProblem struct {
	Code       Code      `json:"code"`
	Status     int       `json:"status"`
	Title      string    `json:"title,omitempty"`
	Detail     string    `json:"detail,omitempty"`
	Errors     []Pointer `json:"errors,omitempty"`
	RetryAfter int64     `json:"retry_after,omitempty" doc:"in how many seconds to say it again"`
}

// ProblemOf is what an error is told as.
func ProblemOf(e *Error) *ClaimProblem {
	return &ClaimProblem{Code: e.Code, Status: e.Status, Title: e.Title, Detail: e.Detail, Errors: e.Errors,
		RetryAfter: int64(e.RetryAfter.Seconds())}
}

// Refused is the problem as the error that a request of its own would have got.
func (p *ClaimProblem) Refused() *Error {
	return BatchAnswer{Code: p.Code, Status: p.Status, Title: p.Title, Detail: p.Detail, Errors: p.Errors,
		RetryAfter: p.RetryAfter}.Refused()
}

// A StopRequest has a process handed no more jobs, for a minute.
type StopRequest struct {
	Worker string `json:"worker" minLength:"1" maxLength:"128"`
}
