package family

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Variable marks the environment of a family's head and of all that descends from it.
const Variable = "LONGSHORE_FAMILY"

// tokenOf begins the variable of all families with a mark.
func tokenOf(mark string) string { return Variable + "=" + mark + "/" }

// A Family is a process, its head, and all that descends from it. It is made by
// Starter.Start. Its methods are safe for concurrent use.
type Family struct {
	cmd   *exec.Cmd
	head  int
	token string        // the variable that marks its environment
	ended chan struct{} // closed when the head has been reaped
	gone  chan struct{} // … and nothing of the family is left

	living sync.Mutex // held while the head's number must stay the head's
	reaped bool       // its number may be another process's

	mu    sync.Mutex
	known map[int]process // descendants that were seen
}

// start starts a command on the thread that spawn runs functions on.
func start(cmd *exec.Cmd, mark string, out io.Writer, spawn func(func() error) error) (*Family, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	var id [8]byte
	rand.Read(id[:])
	f := &Family{cmd: cmd, token: tokenOf(mark) + hex.EncodeToString(id[:]), known: map[int]process{},
		ended: make(chan struct{}), gone: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, f.token)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = write, write, attributes()
	err = spawn(cmd.Start)
	// The write end is the family's alone now: else its end would not be noticed.
	if closed := write.Close(); err != nil || closed != nil {
		return nil, errors.Join(err, closed, read.Close())
	}
	f.head = cmd.Process.Pid
	go f.wait(read, out)
	return f, nil
}

// wait reaps the head. What is left of its group is killed before, as long as
// the group's number can't be another's.
func (f *Family) wait(read *os.File, out io.Writer) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		drain(out, read)
	}()
	if awaitExit(f.head) {
		_ = syscall.Kill(-f.head, syscall.SIGKILL)
		f.living.Lock()
		_ = f.cmd.Wait() // how it ended is in ProcessState
	} else {
		_ = f.cmd.Wait()
		f.living.Lock()
	}
	f.reaped = true
	f.living.Unlock()
	close(f.ended)
	f.sweep()
	// Nobody is left who could write, but for what we can't find.
	_ = read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-drained
	read.Close()
	close(f.gone)
}

// drain reads until all who can write are gone, or the deadline. An out that fails
// is written to no more; the family is read on, lest it blocks.
func drain(out io.Writer, read *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := read.Read(buf)
		if _, failed := out.Write(buf[:n]); failed != nil {
			out = io.Discard
		}
		if err != nil {
			return
		}
	}
}

// Head returns the number of the process that was started.
func (f *Family) Head() int { return f.head }

// Ended is closed when the head has ended and was reaped.
func (f *Family) Ended() <-chan struct{} { return f.ended }

// Gone is closed when nothing of the family is left and all its output was written.
func (f *Family) Gone() <-chan struct{} { return f.gone }

// Kill ends the head and all that descends from it, and returns when they are
// gone. It may be called again.
func (f *Family) Kill() {
	f.living.Lock()
	if !f.reaped {
		f.kill()
	}
	f.living.Unlock()
	<-f.gone
}

// State says how the head ended and what it and those that it waited for have used
// (rusage); nil before Ended is closed.
func (f *Family) State() *os.ProcessState {
	select {
	case <-f.ended:
		return f.cmd.ProcessState
	default:
		return nil
	}
}

// Resident returns the resident size of the head now and at its peak, in bytes. It
// costs little.
func (f *Family) Resident() (now, peak int64, ok bool) { return Resident(f.head) }

// Below returns what the descendants have for themselves, in bytes. It looks at all
// processes of the machine.
func (f *Family) Below() int64 {
	found := below(processes(), f.head)
	f.note(found)
	var sum int64
	for _, p := range found {
		sum += ownMemory(p)
	}
	return sum
}
