// Package procfile reads two files that lie beside a program: Procfile, which says what
// processes there are (https://devcenter.heroku.com/articles/procfile), and .env, which
// holds variables for them while it is not a platform that sets these.
//
// A command is words, not a line of shell: quotes hold words together, $NAME is the
// value of a variable and is never split, NAME=value before the program is a variable
// for it. What would mean something else to a shell is refused with its line, and
// "sh -c '…'" is how it is written then.
package procfile

import "fmt"

// An Error is a mistake in a file.
type Error struct {
	File string // as it was named to the reader
	Line int    // from 1; 0 = the file as a whole
	What string // never holds a value of .env, which may be a secret
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.What
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
}

// Limits of what is read, in bytes: both files are written by hand.
const (
	maxProcfile = 64 << 10
	maxEnv      = 1 << 20
)
