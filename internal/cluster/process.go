package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"longshore/internal/family"
	"longshore/internal/sdnotify"
)

// The times of a process's life.
const (
	readyAfter   = 2 * time.Second  // one that says nothing is taken for ready
	readyTimeout = 30 * time.Second // for a successor
	silentAfter  = 15 * time.Second
	quitPatience = 3 * time.Second // from SIGQUIT to SIGKILL of a silent one
	killAfter    = 5 * time.Second // beyond Config.Grace
)

// A state is where a process is in its life.
type state string

// The states, in their order; a process may leave out some, and end in any.
const (
	starting state = "starting"
	ready    state = "ready"
	stopping state = "stopping" // it was told to end
	silent   state = "silent"   // it is to say where it stands, and then killed
	killed   state = "killed"
)

// A process is one that was started. Only the loop touches it.
type process struct {
	typ    string
	number int
	family *family.Family
	words  *sdnotify.Receiver
	lines  *lineBuffer

	state   state
	begun   time.Duration // by the cluster's clock, like all times here
	since   time.Duration // of the state
	heard   time.Duration // the last word of its watchdog
	watched bool          // it has said one
	spoke   bool          // it has said anything
	busy    int           // jobs that it runs, as it said
	tells   bool          // it says how many
	dump    *os.File      // where a silent one's last words go
}

func (p *process) name() string { return p.typ + "." + strconv.Itoa(p.number) }

// spawn starts a process and has its words and its end come as events.
func (c *cluster) spawn(d *definitions, typ string, number int) (*process, error) {
	p := &process{typ: typ, number: number, state: starting, begun: c.now, since: c.now}
	c.spawned++
	// A socket for each: the path is the only name that a process has for itself.
	path := filepath.Join(c.State, "word-"+strconv.Itoa(c.spawned))
	r, err := c.recipe(d, typ, number, "NOTIFY_SOCKET="+path)
	if err != nil {
		return nil, err
	}
	if p.words, err = sdnotify.Receive(path); err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: r.args[0], Args: r.args, Env: r.env, Dir: c.folder()}
	if r.socket {
		cmd.Path, cmd.Args = c.Self, append([]string{c.Self, shimMode}, r.args...)
		cmd.ExtraFiles = []*os.File{c.Socket}
	}
	p.lines = c.printer.source(p.name())
	p.family, err = c.starter.Start(cmd, c.mark, p.lines)
	if err != nil {
		p.words.Close()
		p.lines.end()
		return nil, err
	}
	c.guard.Note(p.family.Head())
	c.procs[p] = true
	c.background.Go(func() {
		p.words.Words(func(word string) { c.tell(event{process: p, word: word}) })
	})
	c.background.Go(func() {
		<-p.family.Gone()
		p.words.Close()
		c.tell(event{process: p, gone: true})
	})
	c.log.Info("started", "process", p.name(), "pid", p.family.Head())
	return p, nil
}

// enter moves a process on.
func (c *cluster) enter(p *process, s state) { p.state, p.since = s, c.now }

// stop tells a process to end; it is killed if it does not.
func (c *cluster) stop(p *process) {
	if p.state == starting || p.state == ready {
		c.enter(p, stopping)
		p.family.Signal(syscall.SIGTERM)
	}
}

// kill ends a process and all that it has started.
func (c *cluster) kill(p *process) {
	if p.state == killed {
		return
	}
	c.enter(p, killed)
	c.background.Go(p.family.Kill)
}

// look does what is due for a process.
func (c *cluster) look(p *process) {
	in := c.now - p.since
	switch p.state {
	case starting:
		if in >= readyAfter && !p.spoke && !c.speaks[p.typ] {
			c.ready(p)
		}
	case ready:
		if p.watched && c.now-p.heard >= silentAfter {
			c.silence(p)
		}
	case stopping:
		if in >= c.Grace+killAfter {
			c.log.Warn("killed: it did not end within its grace", "process", p.name(), "grace", c.Grace)
			c.kill(p)
		}
	case silent:
		if in >= quitPatience {
			c.kill(p)
		}
	case killed:
	}
}

// silence has a process that says nothing any more tell where it stands, as Go programs
// do on SIGQUIT, in a file; then it is killed.
func (c *cluster) silence(p *process) {
	file, err := c.dumps.create(p.name())
	if err != nil {
		c.log.Warn("no file for what a silent process says last", "process", p.name(), "error", err)
	} else {
		p.dump = file
		p.lines.divertTo(&limited{w: file, left: maxDump})
	}
	c.log.Error("silent: it is killed and started anew", "process", p.name(), "pid", p.family.Head(),
		"silent_for", (c.now - p.heard).Round(time.Second), "dump", dumpName(file))
	c.enter(p, silent)
	p.family.Signal(syscall.SIGQUIT)
	p.family.Signal(syscall.SIGCONT)
}

func dumpName(f *os.File) string {
	if f == nil {
		return ""
	}
	return f.Name()
}

// how says how a process has ended, and with which code; -1 = by a signal.
func (p *process) how() (text string, code int) {
	s := p.family.State()
	if s == nil {
		return "unknown", -1
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return fmt.Sprintf("signal %d (%s)", w.Signal(), w.Signal()), -1
	}
	return fmt.Sprintf("exit code %d", s.ExitCode()), s.ExitCode()
}
