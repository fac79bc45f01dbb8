package submit

import (
	"encoding/json"
	"io"
	"time"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A Request asks for one job. Zero values mean the type's policy.
type Request struct {
	Type    string
	Payload json.RawMessage // checked here; empty means {}

	// ID is the id the client chose, or "". Such a job can be watched from the
	// first byte of its upload, and a repeat returns the same job.
	ID job.ID
	// IDUntil, where it is set, is until when ID counts, whenever it was drawn: it is a page's.
	IDUntil time.Time
	// IDOfKey says that ID was drawn in the shard of UniqueKey (jobstore.DrawUniqueID), beside which no other
	// may be chosen.
	IDOfKey bool
	// maker is who asks, where he may do with uploads of others less than with his own.
	maker string
	// MaxBytes bounds Input; 0 = the installation's limit does.
	MaxBytes int64
	// IdempotencyKey makes a repeat return the first job; "" = none, at most 255 bytes.
	IdempotencyKey string

	Priority    job.Priority
	Queue       string        // that it waits in; "" = default
	RunAt       time.Time     // not before; zero = at once
	Timeout     time.Duration // of one attempt
	ExpiresIn   time.Duration // to the start; 0 = never
	MaxAttempts int
	Retention   time.Duration // after the end; 0 = the installation's
	RetryOf     job.ID        // set by Retry
	CallbackURL string        // posted the snapshot after the end; "" = none
	Labels      job.Labels    // to find the job by; they were checked
	After       []job.ID      // that have to end before it; they were checked to be ids
	OnFailure   string        // of one of these: "run" = it runs all the same, else it is canceled
	Hold        string        // why it waits until it is released; "" = it doesn't

	Batch job.ID // that the job is to be of; "" = none
	Name  string // what it is called there; its key then

	DeleteInput string // when its own input goes before the job does: "never", "on_success", "at_end"; "" = the type's policy
	LimitKey    string // what limits of jobs at once tell it apart by; "" = nothing

	UniqueKey   string        // there is one job of it at a time; "" = it is not unique
	UniqueUntil string        // until when it has the key: "started", "ended", "removed"; "" = ended
	OnConflict  string        // where another one has it: "return", "refuse", "replace"; "" = return
	MaxWait     time.Duration // how long replaces may put a start off; 0 = 1 h

	// Input is the file of a type that takes one; it is read to its end. An
	// error while reading fails the job with upload_incomplete.
	Input       io.Reader
	InputSize   int64  // bytes announced; -1 = unknown
	Interrupt   func() // ends a read of Input that blocks, when the job is canceled; nil = none does for long
	ContentType string // as the client said; only noted
	Filename    string // as the client said; only a name, never a path

	// Owner is whose the job is. Permit sets it.
	Owner access.Owner

	// Direct has the parts of an upload in pieces sent to addresses that the blob store has signed,
	// Summed each with its SHA-256.
	Direct, Summed bool

	// Client is the address that an upload in pieces counts for; "" = none.
	Client string

	// From makes another job's output the input, by reference. Not beside Input.
	From *Reference

	input       *jobstore.Input // set by Retry: the very file that the old job had
	sealed      []string        // … places that the old job's secrets are at
	retryBy     string          // … who retries
	retryAgain  bool            // … although the job was retried before
	gather      job.ID          // the batch of whose jobs the input is to tell what became of them
	line        int             // of a batch that comes whole, for a key of jobs without a name; 0 = none
	fromSubject string          // set by Permit: whose the job in From must be; "" = any of the tenant's
}

// hasInput reports whether the request brings a file, of whatever kind.
func (r Request) hasInput() bool { return r.Input != nil || r.referred() }

func (r Request) referred() bool { return r.From != nil || r.input != nil || r.gather != "" }
