package answer

import (
	"encoding/json"

	"longshore/job"
)

// A BatchSpec is what POST /v1/batches takes.
type BatchSpec struct {
	Name        string     `json:"name,omitempty" doc:"what it is called: 1 to 64 of A-Z, a-z, 0-9, dot, dash and underscore"`
	Labels      job.Labels `json:"labels,omitempty" doc:"what the batch is found by"`
	ExpiresIn   string     `json:"expires_in,omitempty" doc:"when it ends at the latest, as 7d: 168h by default, 2160h at most"`
	Retention   string     `json:"retention,omitempty" doc:"how long it is kept after its end, and with it its jobs"`
	CallbackURL string     `json:"callback_url,omitempty" doc:"post the batch, signed, to this address when it has ended"`
	// Then is submitted with the batch, and runs when it has ended.
	Then      json.RawMessage `json:"then,omitempty" doc:"a job, as in POST /v1/jobs, that runs when the batch has ended: its input is what became of the jobs, as lines of JSON"`
	OnFailure string          `json:"on_failure,omitempty" enum:"cancel,run" doc:"what to do with then where a job doesn't succeed: cancel it, the default, or run"`
	// Jobs are all that the batch is to have: it is closed with them.
	Jobs []json.RawMessage `json:"jobs,omitempty" doc:"all its jobs, as lines of POST /v1/jobs/batch, 1000 at most: then the batch is closed at once"`
}

// A BatchOpened is the answer to it.
type BatchOpened struct {
	Batch job.Snapshot  `json:"batch"`
	Jobs  []BatchAnswer `json:"jobs,omitempty" doc:"an answer for each of the jobs that were given"`
}

// A BatchPage is some of the jobs of a batch.
type BatchPage struct {
	Jobs []job.Snapshot `json:"jobs"`
	Gone []job.ID       `json:"gone,omitempty" doc:"those whose records are gone, or can't be read"`
	Next string         `json:"next,omitempty" doc:"cursor of the next page; absent on the last one"`
}

// A BatchResult is one line of the input of a batch's then: what became of one of its jobs.
type BatchResult struct {
	ID      job.ID          `json:"id"`
	Name    string          `json:"name,omitempty"`
	State   job.State       `json:"state" enum:"succeeded,failed,canceled,expired,gone"`
	Result  json.RawMessage `json:"result,omitempty"`
	Outputs []job.Output    `json:"outputs,omitempty"`
	Error   *job.Error      `json:"error,omitempty"`
}
