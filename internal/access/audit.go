package access

import (
	"strings"
	"time"
)

// An Entry is one line of the audit log: who did what to what, and when.
type Entry struct {
	ID      string    `json:"id,omitempty" doc:"place in the log"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor" doc:"id of the key or token, root, or what stands for a foreign subject"`
	Kind    Kind      `json:"kind" doc:"how the actor showed who it is"`
	Tenant  string    `json:"tenant"`
	Address string    `json:"address,omitempty" doc:"of the client"`
	Action  string    `json:"action" doc:"what was done, as keys.create"`
	Target  string    `json:"target,omitempty" doc:"to what"`
	Count   int       `json:"count,omitempty" doc:"of refusals: how many in this minute"`
}

// KindLocal is the Kind of who works on Redis itself.
const KindLocal Kind = "local"

// ValidEntryID reports whether a text may be an Entry's ID: two numbers.
func ValidEntryID(text string) bool {
	ms, seq, ok := strings.Cut(text, "-")
	digits := func(s string) bool { return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == "" }
	return ok && digits(ms) && digits(seq)
}
