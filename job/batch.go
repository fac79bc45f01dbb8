package job

// BatchType is the type of a batch: a job that waits until all jobs of it have ended, and never runs.
const BatchType = "longshore.batch"

// A Tally is how far the jobs of a batch are.
type Tally struct {
	Open      bool  `json:"open" doc:"more jobs may come"`
	Total     int64 `json:"total"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Canceled  int64 `json:"canceled"`
	Expired   int64 `json:"expired"`
	// Unsuccessful are the first of those that failed, were canceled or expired.
	Unsuccessful []ID `json:"unsuccessful,omitempty" doc:"the first of those that failed, were canceled or expired, 100 at most"`
	Then         ID   `json:"then,omitempty" doc:"the job that comes when the batch has ended"`
}

// Ended is how many have.
func (t *Tally) Ended() int64 { return t.Succeeded + t.Failed + t.Canceled + t.Expired }
