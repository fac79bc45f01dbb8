package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"longshore/answer"
	"longshore/job"
)

// MaxJSON is the size limit of a JSON body, and of the parameters of a form together:
// a payload and what is around it.
const MaxJSON = 2 * job.MaxDocument

// A SubmitBody is the body of POST /v1/jobs. Absent fields mean the type's policy.
type SubmitBody struct {
	Type        string          `json:"type" doc:"the kind of work" minLength:"1" maxLength:"64"`
	Payload     json.RawMessage `json:"payload,omitempty" doc:"an object by the type's schema"`
	Input       *InputRef       `json:"input,omitempty" doc:"the input of a type that works on a file: an output of another job, by reference"`
	Priority    job.Priority    `json:"priority,omitempty" doc:"rank within the type's lane" enum:"high,default,low"`
	RunAt       *time.Time      `json:"run_at,omitempty" doc:"do not start before this time"`
	Timeout     Duration        `json:"timeout,omitzero" doc:"time limit of one attempt"`
	ExpiresIn   Duration        `json:"expires_in,omitzero" doc:"give up unless started within this time"`
	MaxAttempts Count           `json:"max_attempts,omitempty" doc:"how often to try" minimum:"1" maximum:"100"`
	Retention   Duration        `json:"retention,omitzero" doc:"how long to keep the job after its end"`
	CallbackURL string          `json:"callback_url,omitempty" doc:"post the job, signed, to this address when it has ended: http or https, at most 2048 bytes"`
}

// An InputRef names an output of a job that has succeeded. It is used where it
// is, and stays at least until the new job has ended.
type InputRef struct {
	Job    job.ID `json:"job" doc:"the job that made it"`
	Output string `json:"output,omitempty" doc:"its name, where that job has several outputs"`
}

// A JobList is the answer to GET /v1/jobs.
type JobList struct {
	Jobs []job.Snapshot `json:"jobs"`
	// Missing names the jobs of a long-poll for many that are not there (any more).
	Missing []job.ID `json:"missing,omitempty"`
	// Next is the cursor of the next page, "" on the last one. It is opaque.
	Next string `json:"next,omitempty" doc:"cursor of the next page; also of a page without jobs that is not complete"`
	// Scanned and Complete are those of job.Page; a long-poll has neither.
	Scanned  *int  `json:"scanned,omitempty" doc:"jobs that were looked at for this page"`
	Complete *bool `json:"complete,omitempty" doc:"there are no more; false: go on with next, though the page be short or empty"`
}

// What is said of types, queues and workers.
type (
	TypeInfo    = answer.TypeInfo
	QueueInfo   = answer.QueueInfo
	ParkedInfo  = answer.ParkedInfo
	WorkerInfo  = answer.WorkerInfo
	WorkerState = answer.WorkerState
)

// The states of a worker.
const (
	WorkerTaking   = answer.WorkerTaking
	WorkerDraining = answer.WorkerDraining
)

// A TypeList is the answer to GET /v1/types, sorted by type.
type TypeList struct {
	Types   []TypeInfo    `json:"types"`
	Refused []RefusedType `json:"refused,omitempty" doc:"definitions that workers published and that can't be used"`
}

// RefusedType says why a published definition is not used.
type RefusedType struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// A QueueList is the answer to GET /v1/queues.
type QueueList struct {
	Queues []QueueInfo `json:"queues"`
	// Workers are the worker processes that gave a sign of life within 15 s.
	Workers []WorkerInfo `json:"workers"`
}

// A Status is the answer to /healthz and /readyz when all is well.
type Status struct {
	Status string `json:"status"` // "ok"
}

// A Count is a whole number, in JSON in any form that is one: 10, 1e1, 10.0.
type Count int

// ErrCount says what a count looks like.
var ErrCount = errors.New("expected a whole number from 1")

// ParseCount reads a count of at least 1.
func ParseCount(text string) (Count, error) {
	n, err := strconv.ParseFloat(text, 64) // exact for all whole numbers that count anything
	if err != nil || n < 1 || n > 1<<31 || n != math.Trunc(n) || strings.ContainsAny(text, "xXpP_") {
		return 0, ErrCount
	}
	return Count(n), nil
}

// UnmarshalJSON reads a number.
func (c *Count) UnmarshalJSON(text []byte) (err error) {
	if string(text) != "null" {
		*c, err = ParseCount(string(text))
	}
	return err
}
