package job

import "errors"

// Errors of looking a job up and of removing it.
var (
	ErrNotFound = errors.New("job not found")
	ErrDamaged  = errors.New("job record is damaged or of an unknown version")
	ErrNotEnded = errors.New("job has not ended")
	ErrInUse    = errors.New("job's files are in use")
	// ErrNoCallback says that the job was submitted without a callback URL.
	ErrNoCallback = errors.New("job has no callback")
)

// An InUseError says that a job can't be removed, since another one works on
// its files. It wraps ErrInUse.
type InUseError struct {
	ID ID
	By ID // one of those that use it, or that may be about to
}

func (e *InUseError) Error() string { return string(e.ID) + ": files are in use by " + string(e.By) }

// Unwrap returns ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

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

// Lets reports whether the filter lets a job of this state and type through.
func (f Filter) Lets(state State, typ string) bool {
	return (f.State == "" || state == f.State) && (f.Type == "" || typ == f.Type)
}

// A Page is a part of a list. One look is bounded, so a page may have few jobs, or
// none, although there are more.
type Page struct {
	Jobs     []Snapshot
	Next     ID   // Before of the next page; "" = there is none
	Scanned  int  // jobs that were looked at for this page
	Complete bool // there are no more
}
