package family

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
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
	began int64         // … at the earliest, as ticks has it
	token string        // the variable that marks its environment
	ended chan struct{} // closed when the head has been reaped
	gone  chan struct{} // … and nothing of the family is left

	living sync.Mutex // held while the head's number must stay the head's
	reaped bool       // its number may be another process's

	patience time.Duration // with those whom the head leaves behind
	killed   chan struct{} // closed by the first Kill: there is no patience any more
	once     sync.Once

	mu    sync.Mutex
	known map[int]process // descendants that were seen
}

// start starts a command on the thread that spawn runs functions on, and copies what it
// writes to out.
func start(cmd *exec.Cmd, mark string, out io.Writer, patience time.Duration,
	spawn func(func() error) error) (*Family, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	f, err := spawned(cmd, mark, spawn)
	// The write end is the family's alone now: else its end would not be noticed.
	if closed := write.Close(); err != nil || closed != nil {
		return nil, errors.Join(err, closed, read.Close())
	}
	f.patience = patience
	go f.wait(read, out)
	return f, nil
}

// StartOn is Starter.Start on a thread of the caller's: see Spawn.
func StartOn(cmd *exec.Cmd, mark string, out io.Writer,
	spawn func(start func() error) error) (*Family, error) {
	return start(cmd, mark, out, 0, spawn)
}

// Spawn starts a command whose files are the caller's business: each is an *os.File,
// or nil. spawn must call the function that it is given, on a thread that lives as long
// as the family's head (see Starter), and return its error. Of
// cmd.SysProcAttr only the Credential is kept.
func Spawn(cmd *exec.Cmd, mark string, spawn func(start func() error) error) (*Family, error) {
	f, err := spawned(cmd, mark, spawn)
	if err != nil {
		return nil, err
	}
	go f.wait(nil, nil)
	return f, nil
}

func spawned(cmd *exec.Cmd, mark string, spawn func(func() error) error) (*Family, error) {
	var id [8]byte
	rand.Read(id[:])
	f := &Family{cmd: cmd, token: tokenOf(mark) + hex.EncodeToString(id[:]), known: map[int]process{},
		killed: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}), began: ticks()}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, f.token)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = attributes()
	} else {
		ours := attributes()
		ours.Credential = cmd.SysProcAttr.Credential
		cmd.SysProcAttr = ours
	}
	if err := spawn(cmd.Start); err != nil {
		return nil, err
	}
	f.head = cmd.Process.Pid
	heads.Store(f.head, true)
	return f, nil
}

// heads are the numbers of those that a Family waits for.
var heads sync.Map

// wait reaps the head. What is left of its group is killed before, as long as
// the group's number can't be another's.
func (f *Family) wait(read *os.File, out io.Writer) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if read != nil {
			drain(out, read)
		}
	}()
	if awaitExit(f.head) {
		f.leave()
		_ = syscall.Kill(-f.head, syscall.SIGKILL)
		f.living.Lock()
		_ = f.cmd.Wait() // how it ended is in ProcessState
	} else {
		_ = f.cmd.Wait()
		f.living.Lock()
	}
	f.reaped = true
	heads.Delete(f.head)
	f.living.Unlock()
	close(f.ended)
	if f.mayBeLeft() {
		f.sweep()
	}
	// Nobody is left who could write, but for what we can't find.
	if read != nil {
		_ = read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
	<-drained
	if read != nil {
		_ = read.Close()
	}
	close(f.gone)
}

// leave gives those whom the head has left in its group time to end. The head is a
// zombie still, so the group's number is its own.
func (f *Family) leave() {
	if f.patience == 0 || !inGroup(f.head) {
		return
	}
	_ = syscall.Kill(-f.head, syscall.SIGTERM)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(f.patience); inGroup(f.head); {
		select {
		case <-end:
			return
		case <-f.killed:
			return
		case <-tick.C:
		}
	}
}

// inGroup reports whether somebody lives in the group of a head that has ended.
func inGroup(head int) bool {
	return slices.ContainsFunc(processes(), func(p process) bool {
		return p.group == head && p.pid != head && !p.zombie
	})
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
	f.once.Do(func() { close(f.killed) })
	f.living.Lock()
	if !f.reaped {
		f.kill()
	}
	f.living.Unlock()
	<-f.gone
}

// Signal sends a signal to the head and to all in its process group; to nobody once the
// head was reaped.
func (f *Family) Signal(s syscall.Signal) {
	f.living.Lock()
	defer f.living.Unlock()
	if !f.reaped {
		_ = syscall.Kill(-f.head, s) // nobody is there: fine too
	}
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
