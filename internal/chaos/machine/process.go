//go:build linux

package machine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"longshore/internal/chaos/history"
)

// readyPatience is for a program that starts while Redis may be away.
const readyPatience = time.Minute

// A Process is a web process or a worker, which may be killed and started again.
type Process struct {
	base    string // "web1"; each life has a number behind it
	machine *Machine
	command func() *exec.Cmd

	mu      sync.Mutex
	life    int
	cmd     *exec.Cmd
	done    chan struct{} // of this life
	ready   chan struct{} // closed when this life serves
	address string        // of a web process that serves
	drained bool          // no new request is to be sent there
	stopped bool          // by SIGSTOP
	asked   time.Time     // of the SIGTERM of this life
	runs    map[string]bool
}

// Name names the process and its life, as "worker2#3".
func (p *Process) Name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.name()
}

func (p *Process) name() string { return fmt.Sprintf("%s#%d", p.base, p.life) }

// Runs names the jobs that run in it, as its log tells.
func (p *Process) Runs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.runs))
}

// Start begins a life, and returns without waiting until it serves.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life++
	cmd := p.command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	// The parent-death signal comes when the thread ends that started the child; Go ends
	// none that no goroutine has locked.
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.base, err)
	}
	p.cmd, p.done, p.ready, p.asked = cmd, make(chan struct{}), make(chan struct{}), time.Time{}
	p.drained, p.stopped, p.address, p.runs = false, false, "", map[string]bool{}
	name := p.name()
	p.machine.log.Add(history.Event{Kind: history.Up, Proc: name})
	go p.live(name, cmd, out, p.done, p.ready)
	return nil
}

// live reads what a life says, until its end.
func (p *Process) live(name string, cmd *exec.Cmd, out io.Reader, done, ready chan struct{}) {
	defer close(done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.said(name, lines.Text(), ready)
	}
	_, _ = io.Copy(io.Discard, out) // a line that was too long
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address, p.runs = "", map[string]bool{}
	e := history.Event{Kind: history.Exit, Proc: name, Status: cmd.ProcessState.ExitCode()}
	if !p.asked.IsZero() {
		e.Wait = time.Since(p.asked).Microseconds()
	}
	if err != nil {
		e.Text = err.Error()
	}
	p.machine.log.Add(e)
}

// said takes one line of a log.
func (p *Process) said(name, line string, ready chan struct{}) {
	p.machine.overheard(name, line)
	var l struct {
		Message string `json:"msg"`
		Level   string `json:"level"`
		Job     string `json:"job_id"`
		State   string `json:"state"`
		Attempt int    `json:"attempt"`
		Address string `json:"address"`
	}
	if json.Unmarshal([]byte(line), &l) != nil {
		p.machine.strange(name, line)
		return
	}
	e := history.Event{Proc: name, Job: l.Job, State: l.State, Attempt: l.Attempt}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.Message == "web listens":
		p.address = strings.Replace(l.Address, "[::]", "127.0.0.1", 1)
		close(ready)
		return
	case l.Message == "worker takes jobs":
		close(ready)
		return
	case l.Message == "run begins":
		p.runs[l.Job] = true
		e.Kind = history.Start
	case l.Message == "job ended":
		e.Kind = history.End
	case l.Message == "run ended":
		e.Kind = history.Release
	case l.Message == "run has lost its job", strings.HasPrefix(l.Message, "end of a run not"):
		e.Kind = history.Late
	case strings.HasPrefix(l.Message, "redis has lost its data"):
		e.Kind = history.Noticed
	default:
		if l.Level == "ERROR" {
			p.machine.strange(name, line)
		}
		return
	}
	if e.Kind == history.End || e.Kind == history.Release || e.Kind == history.Late {
		delete(p.runs, l.Job)
	}
	p.machine.log.Add(e)
}

// AwaitReady waits until this life serves.
func (p *Process) AwaitReady() error {
	p.mu.Lock()
	done, ready := p.done, p.ready
	p.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-done:
		return fmt.Errorf("%s ended before it served: see the log", p.Name())
	case <-time.After(readyPatience):
		return fmt.Errorf("%s doesn't serve after %v", p.Name(), readyPatience)
	}
}

// Kill ends it as the kernel would, and waits for the end.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended()
	return nil
}

func (p *Process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Stop stops it, and its children go on.
func (p *Process) Stop() error {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	return p.signal(syscall.SIGSTOP)
}

// Continue lets a stopped one go on.
func (p *Process) Continue() error {
	p.mu.Lock()
	p.stopped = false
	p.mu.Unlock()
	return p.signal(syscall.SIGCONT)
}

// Drain takes a web process from those that clients are sent to.
func (p *Process) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drained = true
}

// Terminate asks it to end, and returns how it did.
func (p *Process) Terminate(patience time.Duration) error {
	p.mu.Lock()
	p.asked = time.Now()
	p.mu.Unlock()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended():
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s runs on %v after SIGTERM", p.Name(), patience)
	}
}

// signal sends to the process alone, as a platform would: not to its children.
func (p *Process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w", p.name(), errEnded)
	default:
		return syscall.Kill(p.cmd.Process.Pid, s)
	}
}

// errEnded marks what can't be done to a process since there is none.
var errEnded = errors.New("no such process")

// end makes sure that nothing of it stays.
func (p *Process) end() {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may be gone
	<-p.ended()
}

// URL is a web process's address while it serves.
func (p *Process) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// PID is the process's id in this life.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}
