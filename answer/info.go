package answer

import (
	"encoding/json"

	"longshore/job"
)

// A TypeInfo is one kind of work as GET /v1/types lists it.
type TypeInfo struct {
	Type          string          `json:"type"`
	Doc           string          `json:"doc"`
	Lane          job.Lane        `json:"lane"`
	TimeoutMS     int64           `json:"timeout_ms"` // of one attempt
	MaxAttempts   int             `json:"max_attempts"`
	RetentionMS   int64           `json:"retention_ms,omitempty"` // of its jobs; 0 = the installation's
	DeleteInput   string          `json:"delete_input,omitempty" enum:"on_success,at_end" doc:"when an input goes before its job does"`
	Input         string          `json:"input"` // "required", "optional" or "none"
	ForbidOverlap bool            `json:"forbid_overlap,omitempty"`
	Schema        json.RawMessage `json:"schema"` // JSON Schema of the payload
	// Sandbox says how far a function's program is kept from the rest of its machine:
	// "full", "partial" or "none"; "" for Go code.
	Sandbox string `json:"sandbox,omitempty"`
	// Version is the current number of a deployed function; 0 of all others.
	Version int64 `json:"version,omitempty"`
}

// A QueueInfo is the state of one queue.
type QueueInfo struct {
	Queue     string       `json:"queue"` // "io-high"; "io-high:mailers" of a queue that isn't the default one
	Name      string       `json:"name,omitempty" doc:"the queue's; absent: default"`
	Lane      job.Lane     `json:"lane"`
	Priority  job.Priority `json:"priority"`
	Pending   int64        `json:"pending"`    // jobs that wait for a worker, parked ones too
	Active    int64        `json:"active"`     // jobs that a worker holds
	LatencyMS int64        `json:"latency_ms"` // age of the oldest pending one
	Paused    bool         `json:"paused"`
	// Parked are those of types that some worker of the lane doesn't take: they
	// wait aside for one that does.
	Parked []ParkedInfo `json:"parked,omitempty"`
}

// ParkedInfo are the jobs of one type that wait aside.
type ParkedInfo struct {
	Type    string `json:"type"`
	Pending int64  `json:"pending"`
	Served  bool   `json:"served"` // a worker that is alive takes the type
}

// A WorkerInfo is one worker process.
type WorkerInfo struct {
	Host  string           `json:"host"`
	PID   int              `json:"pid"`
	Slots map[job.Lane]int `json:"slots"` // jobs at a time, of the lanes that it serves
	// State is "taking", or "draining": it finishes what it has and takes nothing more.
	State WorkerState `json:"state,omitempty"`
	// Types are those that it runs; none of a worker of an older release.
	Types []string `json:"types,omitempty"`
	// Queues are those that it serves, as QUEUES names them; "*" = all.
	Queues []string `json:"queues,omitempty"`
}

// A WorkerState says whether a worker takes jobs.
type WorkerState string

// The states of a worker.
const (
	WorkerTaking   WorkerState = "taking"
	WorkerDraining WorkerState = "draining"
	WorkerStopping WorkerState = "stopping"
)
