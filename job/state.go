package job

import "slices"

// A State says where a job is in its life. docs/states.md draws the moves; the
// words follow Google's AIP-216.
type State string

// The states. The last four are terminal: a job that reached one never leaves it.
const (
	Uploading State = "uploading" // the input is still arriving
	Awaiting  State = "waiting"   // for jobs that have to end before it
	Scheduled State = "scheduled" // waits for its run_at
	Queued    State = "queued"    // has a ticket, waits for a worker
	Running   State = "running"   // a worker holds its lease
	Retrying  State = "retrying"  // an attempt failed, the next one is due at run_at
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Canceled  State = "canceled"
	Expired   State = "expired" // nobody started it before expires_at
)

// States lists all states in the order of a job's life.
var States = []State{Uploading, Awaiting, Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled,
	Expired}

// moves is the whole state machine. internal/jobstore puts it at the head of
// every Lua script, so Redis itself refuses what is not in it.
var moves = map[State][]State{
	"":        {Uploading, Awaiting, Scheduled, Queued},
	Uploading: {Awaiting, Scheduled, Queued, Failed, Canceled, Expired},
	Awaiting:  {Scheduled, Queued, Succeeded, Failed, Canceled, Expired}, // the ends are a batch's
	Scheduled: {Queued, Canceled, Expired},
	Queued:    {Running, Scheduled, Canceled, Expired},
	Running:   {Succeeded, Failed, Retrying, Queued, Scheduled, Canceled},
	Retrying:  {Queued, Canceled},
}

// Terminal reports whether a job in this state has ended for good.
func (s State) Terminal() bool {
	return s == Succeeded || s == Failed || s == Canceled || s == Expired
}

// Valid reports whether s is one of States.
func (s State) Valid() bool { return slices.Contains(States, s) }

// MayMove reports whether the state machine lets a job go from one state to
// another; the empty state stands for a job that does not exist yet.
func MayMove(from, to State) bool { return slices.Contains(moves[from], to) }

// Moves returns the states that may follow s; none for a terminal one.
func (s State) Moves() []State { return slices.Clone(moves[s]) }
