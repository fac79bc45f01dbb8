package httpapi

import "longshore/job"

// A Scale is what autoscalers ask for.
type Scale struct {
	Lanes map[job.Lane]LaneScale `json:"lanes" doc:"for workers of one lane"`
	All   LaneScale              `json:"all" doc:"for workers of all lanes"`
	// Queues is empty while there is the default queue alone.
	Queues map[string]LaneScale `json:"queues,omitempty" doc:"for workers of one queue"`
}

// LaneScale is what waits, who works, and how many workers that wants.
type LaneScale struct {
	Waiting int64 `json:"waiting" doc:"jobs that are due, in queues that are not paused"`
	AgeMS   int64 `json:"age_ms" doc:"how long the one that waits longest has been due"`
	Busy    int64 `json:"busy" doc:"slots with a job"`
	Slots   int64 `json:"slots" doc:"of workers that take jobs"`
	RunMS   int64 `json:"run_ms" doc:"how long a job takes, by the last minute"`
	Wanted  int   `json:"wanted" doc:"workers that are wanted"`
}
