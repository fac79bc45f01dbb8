// Package program starts the programs of functions, for the modes that have some: in
// the sandbox, as families that are watched and ended as a whole, with an environment
// of their own.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"longshore/internal/cgroup"
	"longshore/internal/family"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/internal/sandbox"
)

// A Start says what is started and what it may touch.
type Start struct {
	Function *functions.Function
	Host     *functions.Host
	Slot     int // which of the host's slots: the user's number, where it has some

	Dir   string   // working directory
	Env   []string // all of it, but for what marks the family
	Write []string // folders that it may do anything in, beside no other
	Read  []string // files and folders of this start that it may read
	Use   []string // FIFOs and files that it may read and write
	Ports []uint16 // TCP, beside the manifest's

	Stdin, Stdout, Stderr *os.File   // nil = /dev/null
	More                  []*os.File // 3 and up
}

// A Process is a program that was started.
type Process struct {
	*family.Family

	watched chan struct{} // closed when nobody watches any more
	stop    chan struct{}
	peak    int64
	death   *isolate.Death

	group  *cgroup.Group // nil = it is in none
	killed int64         // how many the kernel had killed in the group before
}

// Limits of a program, beside those of memory.
const (
	maxProcesses = 256
	maxFiles     = 1024
	// backstop is what one process may have of private memory beyond twice its memory:
	// interpreters reserve much.
	backstop = 256 << 20
	// groupMemory is what a control group has beyond a function's memory: it is for a family
	// that grows faster than anybody can look.
	groupMemory = 32 << 20
	// groupTasks counts threads too.
	groupTasks = 4 * maxProcesses
	// lookEvery is the time between two looks at the family's memory.
	lookEvery = 25 * time.Millisecond
)

// Run starts a program. The files are the caller's to close. The error wraps
// functions.ErrNotStarted, unless the program itself can't be started.
func Run(s Start) (*Process, error) {
	cmd := exec.Cmd{Path: s.Function.Command[0], Args: s.Function.Command, Dir: s.Dir, Env: s.Env,
		ExtraFiles: s.More}
	setFile := func(to *os.File, set func()) {
		if to != nil {
			set()
		}
	}
	setFile(s.Stdin, func() { cmd.Stdin = s.Stdin })
	setFile(s.Stdout, func() { cmd.Stdout = s.Stdout })
	setFile(s.Stderr, func() { cmd.Stderr = s.Stderr })
	policy := s.policy()
	if uid := s.Host.UserOf(s.Slot); uid > 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid),
			Gid: uint32(uid)}}
	}
	p := &Process{watched: make(chan struct{}), stop: make(chan struct{})}
	if err := p.joinGroup(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	release := make(chan struct{})
	var started error // of the program itself
	f, err := family.Spawn(&cmd, filepath.Base(s.Host.Base), func(start func() error) error {
		return sandbox.Start(policy, func() (int, error) {
			return p.inGroup(func() (int, error) {
				if started = start(); started != nil {
					return 0, started
				}
				return cmd.Process.Pid, nil
			})
		}, release)
	})
	if err != nil {
		close(release)
		if started != nil && !errors.Is(started, syscall.EAGAIN) && !errors.Is(started, syscall.ENOMEM) {
			return nil, fmt.Errorf("start %s: %w", s.Function.Command[0], cause(started))
		}
		return nil, fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	lowerPriority(f.Head())
	p.Family = f
	go func() {
		<-f.Gone()
		close(release)
	}()
	go p.watch(s.Host.MemoryOf(s.Function))
	return p, nil
}

// joinGroup finds the control group of a program, if there are some.
func (p *Process) joinGroup(s *Start) (err error) {
	if s.Host.Groups == nil {
		return nil
	}
	p.group, err = s.Host.Groups.Get(s.Slot, cgroup.Limits{Memory: s.Host.MemoryOf(s.Function) + groupMemory,
		Processes: groupTasks})
	if err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	p.killed = p.group.Killed()
	return nil
}

func (p *Process) inGroup(start func() (int, error)) (int, error) {
	if p.group == nil {
		return start()
	}
	return p.group.Start(start)
}

// cause leaves out what package os says of it.
func cause(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// policy is what the program may do; nil = anything that its user may.
func (s *Start) policy() *sandbox.Policy {
	m := &s.Function.Manifest
	if m.Sandbox == functions.SandboxOff {
		return nil
	}
	read := append(system(s.Function.Command[0]), s.Function.Folder)
	read = append(append(read, s.Function.Read...), s.Read...)
	memory := uint64(s.Host.MemoryOf(s.Function))
	p := &sandbox.Policy{Whole: true, Read: read, Write: s.Write, Use: s.Use,
		Memory: 2*memory + backstop, FileSize: 2 * uint64(s.Host.MaxOutput), Files: maxFiles,
		Connect: append(append([]uint16(nil), m.Network.Ports...), s.Ports...), AnyPort: m.Network.All}
	p.TCPOnly = !m.Network.All && len(m.Network.Ports) == 0
	// The watch ends a family that is too large; the limit is for one that grows faster
	// than anybody can look. It counts all processes of a user, so where that is not the
	// program's own it is set over all that there are. Root it does not bind.
	if p.Processes = 2 * maxProcesses; s.Host.UserOf(s.Slot) > 0 {
		p.KeepUser = true
	} else {
		p.Processes += family.Threads()
	}
	return p
}

// system lists what programs of any kind read of the system. Users and passwords are
// not among it.
func system(program string) []string {
	read := sandbox.System(program)
	for _, name := range []string{"resolv.conf", "hosts", "nsswitch.conf", "gai.conf", "services",
		"protocols", "host.conf", "ssl", "pki", "ca-certificates", "mime.types", "magic", "timezone",
		"python3", "perl", "gemrc", "ImageMagick-6", "ImageMagick-7"} {
		read = append(read, "/etc/"+name)
	}
	return append(read, "/sys/devices/system/cpu")
}

// watch looks at the family's memory and processes until the head has ended, and ends it
// where there is too much of them.
func (p *Process) watch(memory int64) {
	defer close(p.watched)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.Ended():
			return
		case <-tick.C:
		}
		t := p.Tree(maxProcesses)
		p.peak = max(p.peak, t.Peak)
		switch {
		case t.Resident > memory:
			p.death = &isolate.Death{OutOfMemory: true}
		case t.Processes > maxProcesses:
			p.death = &isolate.Death{How: fmt.Sprintf("had over %d processes", maxProcesses)}
		default:
			continue
		}
		p.Kill()
		return
	}
}

// Wait waits for the head's end. When ctx ends before, the program is told to stop by
// SIGTERM to its group, and killed after the grace; stopped is then the context's cause.
// Nothing of the family runs any more when it returns.
func (p *Process) Wait(ctx context.Context, h *functions.Host) (stopped error) {
	select {
	case <-p.Ended():
	case <-ctx.Done():
		stopped = context.Cause(ctx)
		p.end(h.GraceOf(stopped))
	}
	p.Kill()
	<-p.watched
	if p.group != nil && p.group.Killed() > p.killed { // one of the family, maybe not the head
		p.death = &isolate.Death{OutOfMemory: true}
	}
	return stopped
}

func (p *Process) end(grace time.Duration) {
	if grace <= 0 {
		return
	}
	_ = syscall.Kill(-p.Head(), syscall.SIGTERM) // of a group that is gone: nothing to tell
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.Ended():
	case <-timer.C:
	}
}

// Death says why the watch ended the family; nil if it did not. Call it after Wait.
func (p *Process) Death() *isolate.Death { return p.death }

// Peak is the most that the family had resident, in bytes, as far as was seen. Call it
// after Wait.
func (p *Process) Peak() int64 { return p.peak }

// Env is the environment of all programs of functions: what is theirs, and what the
// manifest hands on.
func Env(f *functions.Function, h *functions.Host, temp string, more ...string) []string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if dir := filepath.Dir(f.Command[0]); !strings.HasPrefix(dir+"/", f.Folder+"/") &&
		!strings.Contains(":"+path+":", ":"+dir+":") {
		path = dir + ":" + path // an interpreter's companions
	}
	env := []string{"PATH=" + path, "LANG=C.UTF-8", "HOME=" + temp, "TMPDIR=" + temp, "LONGSHORE_FUNCTION=" +
		f.Folder}
	for _, name := range append([]string{"TZ"}, f.Manifest.Env...) {
		if value := h.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return append(env, more...)
}
