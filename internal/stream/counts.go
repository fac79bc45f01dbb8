package stream

import "sync/atomic"

// Counts are the live figures of one run. The run adds to them, anybody may
// read them meanwhile. The zero value is ready.
type Counts struct {
	In      atomic.Int64 // bytes read from the input
	Out     atomic.Int64 // bytes written
	Records atomic.Int64 // lines, rows: what the run counts
	Total   atomic.Int64 // units of work in all: bytes of the input unless Done is used; 0 = unknown
	Done    atomic.Int64 // units done where the work is not reading the input; see Total
	note    atomic.Pointer[string]
}

// SetNote says in a word what the run is at.
func (c *Counts) SetNote(s string) { c.note.Store(&s) }

// Note returns the last note, or "".
func (c *Counts) Note() string {
	if p := c.note.Load(); p != nil {
		return *p
	}
	return ""
}
