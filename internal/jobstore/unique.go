package jobstore

import (
	"strconv"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// A Unique makes a job the only one of a key, which is its owner's own.
type Unique struct {
	Key     string        // "" = it is not
	Until   string        // its start, its end, its removal
	Else    string        // what becomes of another one meanwhile
	MaxWait time.Duration // of Replace: from the creation, for how long the start may be put off
}

// Until when a job has its key, and what becomes of another one meanwhile.
const (
	UntilStarted = "started"
	UntilEnded   = "ended"
	UntilRemoved = "removed"

	ElseReturn  = "return"  // it is not made: the job that is there is the answer
	ElseRefuse  = "refuse"  // a DuplicateError
	ElseReplace = "replace" // the job that is there, which hasn't begun, does what the new one was to do
)

// A DuplicateError says that another job has a key.
type DuplicateError struct{ ID job.ID }

func (e *DuplicateError) Error() string { return "job " + string(e.ID) + " has this key" }

// uniqueClaim is a key as it is hashed: it is no idempotency key.
func uniqueClaim(key string) string { return "unique\x00" + key }

// DrawUniqueID draws an id that lies in the shard of the key of a unique job, so that one script sees all of
// them. An idempotency key that comes beside it is looked for there too.
func DrawUniqueID(now time.Time, owner access.Owner, key string) job.ID {
	return DrawID(now, owner, uniqueClaim(key))
}

// field is it as x: has it (lua/unique.lua); "" of none.
func (u Unique) field(owner access.Owner) string {
	if u.Key == "" {
		return ""
	}
	till := map[string]string{UntilStarted: "s", UntilRemoved: "r"}[u.Until]
	if till == "" {
		till = "e"
	}
	how := map[string]string{ElseRefuse: "d", ElseReplace: "p"}[u.Else]
	if how == "" {
		how = "n"
	}
	text := till + how + claimHash(owner, uniqueClaim(u.Key))
	if u.Else == ElseReplace {
		text += strconv.FormatInt(u.MaxWait.Milliseconds(), 10)
	}
	return text
}
