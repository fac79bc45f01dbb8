package httpapi

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"longshore/answer"
	"longshore/job"
)

// MaxJSON is the size limit of a JSON body, and of the parameters of a form together:
// a payload and what is around it.
const MaxJSON = 2 * job.MaxDocument

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
	// StoreReset names those of Missing that Redis may have lost: code store_reset.
	StoreReset []job.ID `json:"store_reset,omitempty" doc:"those of missing that may be lost with the job store's data"`
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
	// "ok"; of /readyz also "store_reset": Redis has lost data, and nobody has accepted that
	Status string `json:"status" doc:"ok; of /readyz also store_reset: all works, but the job store has lost data"`
}

// ErrCount says what a count looks like.
var ErrCount = errors.New("expected a whole number from 1")

// ParseCount reads a count of at least 1, in any form that is a whole number: 10, 1e1, 10.0.
func ParseCount(text string) (int, error) {
	n, err := strconv.ParseFloat(text, 64) // exact for all whole numbers that count anything
	if err != nil || n < 1 || n > 1<<31 || n != math.Trunc(n) || strings.ContainsAny(text, "xXpP_") {
		return 0, ErrCount
	}
	return int(n), nil
}

// A KeyList lists API keys.
type KeyList struct {
	Keys []answer.APIKey `json:"keys"`
}

// A SessionList is people's own sessions.
type SessionList struct {
	Sessions []answer.Session `json:"sessions"`
}

// An AuditList is a page of the audit log.
type AuditList struct {
	Entries []answer.AuditEntry `json:"entries"`
}
