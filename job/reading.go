package job

import "errors"

// Errors of looking a job up.
var (
	ErrNotFound = errors.New("job not found")
	ErrDamaged  = errors.New("job record is damaged or of an unknown version")
	ErrNotEnded = errors.New("job has not ended")
	// ErrNoCallback says that the job was submitted without a callback URL.
	ErrNoCallback = errors.New("job has no callback")
)

// A Rev says how far a job has come, in the fewest words: what push carries.
type Rev struct {
	ID      ID
	Rev     int64
	Done    bool
	Missing bool // there is no such record (any more)
}

// A Reading is one of several jobs that were looked up together: what it is, or
// its ID and why no more can be said (ErrNotFound, ErrDamaged).
type Reading struct {
	Snapshot
	Err error
}

// A Filter selects jobs of a list. The zero value means all, newest first.
type Filter struct {
	State  State
	Type   string
	Limit  int // 1 to 1000; 0 = 100
	Before ID  // only jobs older than this one: the cursor
}
