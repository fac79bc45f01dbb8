package job

import (
	"errors"
	"fmt"
	"time"
)

// Errors of looking a job up and of removing it.
var (
	ErrNotFound = errors.New("job not found")
	ErrDamaged  = errors.New("job record is damaged or of an unknown version")
	ErrNotEnded = errors.New("job has not ended")
	ErrInUse    = errors.New("job's files are in use")
	// ErrInputGone says that a job's input was deleted at its end, or is about to be.
	ErrInputGone = errors.New("job's input is gone")
	// ErrNoCallback says that the job was submitted without a callback URL.
	ErrNoCallback = errors.New("job has no callback")
	// ErrStoreReset says that the job isn't there and may have been: Redis came back empty or with older
	// data, and nobody has accepted that loss yet. It wraps ErrNotFound.
	ErrStoreReset = fmt.Errorf("the job store was reset, which may have lost it: %w", ErrNotFound)
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

	Tenant string // whose it is; told where a record was read
	Owner  string // code of its owner; "" = of nobody in particular
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
	Limit  int    // 1 to 1000; 0 = 100
	Cursor string // Next of the page before this one; "" = from the newest

	Code   Code   // why it failed
	Group  string // of failures; see Failure
	Worker string // the id of who runs it, or ran it last
	// Retried says whether failed jobs are meant that were retried since: "" = without them,
	// RetriedAny = too, RetriedOnly = no others.
	Retried string
	// Since and Until bound, both included, the time at which it entered its state, where that is failed,
	// canceled, expired or waiting and the filter names it; else its creation. Zero = any.
	Since, Until time.Time
	CreatedSince time.Time
	IDPrefix     string
	Label        string // name=value
	Queue        string // that it was submitted to; "default" is one

	Tenant  string // "" = of all tenants
	Subject string // "" = of all; else of one tenant
}

// Values of Filter.Retried.
const (
	RetriedAny  = "any"
	RetriedOnly = "only"
)

// Narrow reports whether the filter asks for more than a state and a type.
func (f Filter) Narrow() bool {
	return f.Code != "" || f.Group != "" || f.Worker != "" || f.Retried != "" || !f.Since.IsZero() ||
		!f.Until.IsZero() || !f.CreatedSince.IsZero() || f.IDPrefix != "" ||
		f.Label != "" || f.Queue != ""
}

// All reports whether the filter lets all jobs through.
func (f Filter) All() bool { return f.State == "" && f.Type == "" && !f.Narrow() }

// Lets reports whether the filter lets a job of this state and type through.
func (f Filter) Lets(state State, typ string) bool {
	return (f.State == "" || state == f.State) && (f.Type == "" || typ == f.Type)
}

// A Page is a part of a list. One look is bounded, so a page may have few jobs, or
// none, although there are more.
type Page struct {
	Jobs     []Snapshot
	Next     string // Cursor of the next page; "" = there is none
	Scanned  int    // jobs that were looked at for this page
	Complete bool   // there are no more
}
