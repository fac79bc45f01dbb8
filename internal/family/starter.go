package family

import (
	"io"
	"os/exec"
	"runtime"
	"time"
)

// A Starter starts families, on a thread of its own that lives as long as they
// may: the kernel sends the parent-death signal when the thread that started
// a process ends, not when its process does (prctl(2)).
type Starter struct {
	// Patience is for those whom a head leaves in its process group, as the shell in
	// "./program & wait" does when it is told to end: they get SIGTERM, and so long
	// until they are killed; Ended is closed after that. 0 = they are killed at once.
	// It is to be set before the first Start. Only Linux has it.
	Patience time.Duration

	starts chan func()
	ended  chan struct{}
}

// NewStarter returns a Starter. Close it when all its families are gone.
func NewStarter() *Starter {
	s := &Starter{starts: make(chan func()), ended: make(chan struct{})}
	go s.run()
	return s
}

func (s *Starter) run() {
	defer close(s.ended)
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for start := range s.starts {
		start()
	}
}

// Start starts a command as the head of a family: in a process group of its own, so
// that a terminal's Ctrl-C reaches only this process, and dying with it. What
// the family writes to stdout and stderr goes to out. mark tells the families of one
// owner from others, for KillMarked. The command must not be in use elsewhere.
func (s *Starter) Start(cmd *exec.Cmd, mark string, out io.Writer) (*Family, error) {
	return start(cmd, mark, out, s.Patience, func(start func() error) error {
		done := make(chan error, 1)
		s.starts <- func() { done <- start() }
		return <-done
	})
}

// Close ends the thread, and with it what it has started. No Start may be under way.
func (s *Starter) Close() {
	close(s.starts)
	<-s.ended
}
