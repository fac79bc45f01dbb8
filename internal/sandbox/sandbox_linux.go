package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func run(cmd *exec.Cmd, policy Policy) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	ownFiles()
	started, ended := make(chan error, 1), make(chan error, 1)
	onThread(func() {
		if err := restrict(policy); err != nil {
			started <- fmt.Errorf("sandbox: %w", err)
			return
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	})
	if err := <-started; err != nil {
		return err
	}
	// From here, since the other thread must not reach for other processes.
	limits := limit(cmd.Process.Pid, policy)
	if limits != nil {
		_ = unix.Kill(cmd.Process.Pid, unix.SIGKILL) // not waited for yet, so the number is its own
	}
	return errors.Join(limits, <-ended)
}

func startOn(policy *Policy, start func() (int, error), release <-chan struct{}) error {
	type started struct {
		pid int
		err error
	}
	answer := make(chan started, 1)
	ownFiles()
	onThread(func() {
		var s started
		if policy != nil {
			s.err = restrict(*policy)
		}
		if s.err == nil {
			s.pid, s.err = start()
		} else {
			s.err = fmt.Errorf("sandbox: %w", s.err)
		}
		answer <- s
		if s.err == nil {
			<-release
		}
	})
	s := <-answer
	if s.err != nil || policy == nil {
		return s.err
	}
	if err := limit(s.pid, *policy); err != nil {
		_ = unix.Kill(s.pid, unix.SIGKILL) // its starter has not reaped it yet, or knows that it ended
		return err
	}
	return nil
}

// ownFiles makes this process's open files its own. Go opens none that a program
// inherits, but those that were open when it was started it passes on: a
// shell's, a supervisor's, and no limit of ours holds for what is open already.
// What a command is meant to have (Stdin, ExtraFiles) it gets as copies.
func ownFiles() { _ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }

// onThread runs a function on a thread that ends with it, for a thread can't be
// freed of its limits again. The main thread must not be the one: it can't end,
// and stands for the whole process where others look at that.
func onThread(f func()) {
	locked := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked
		if unix.Gettid() != unix.Getpid() {
			close(locked)
			f()
			return
		}
		onThread(f) // on another, while this one is held
		runtime.UnlockOSThread()
		close(locked)
	}()
	<-locked
}

// limit sets the limits of a process. One that has ended needs none.
func limit(pid int, policy Policy) error {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_DATA: policy.Memory, unix.RLIMIT_FSIZE: policy.FileSize, unix.RLIMIT_NOFILE: policy.Files,
		unix.RLIMIT_NPROC: policy.Processes, unix.RLIMIT_CORE: 0,
	} {
		if most == 0 && resource != unix.RLIMIT_CORE {
			continue
		}
		var old unix.Rlimit
		err := unix.Prlimit(pid, resource, nil, &old)
		if err == nil {
			most = min(most, old.Max)
			err = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("sandbox: limit %d: %w", resource, err)
		}
	}
	return nil
}

// restrict limits the calling thread. Layers that the kernel lacks are left out.
func restrict(policy Policy) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	// Landlock first: root's right to open what others own may be what opens a
	// folder that the policy names.
	if err := landlock(policy); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	if err := dropCapabilities(policy.KeepUser); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return filter(policy)
}

// dropCapabilities leaves the thread none, nor any to win by a program that is
// root's. With keepUser those remain by which it becomes another user, who has none.
func dropCapabilities(keepUser bool) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	if sets == ([2]unix.CapUserData{}) {
		return nil
	}
	if sets[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		for c := range uintptr(64) {
			if unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
				break // the kernel knows no more
			}
		}
	}
	keep := uint32(0)
	if keepUser {
		keep = sets[0].Permitted & (1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID)
	}
	sets = [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	return unix.Capset(&header, &sets[0])
}

func files() bool { return landlockVersion() > 0 }

var missing = sync.OnceValue(func() (lacks []string) {
	switch version := landlockVersion(); {
	case version == 0:
		lacks = append(lacks, "Landlock (files, TCP, signals)")
	case version < landlockNet:
		lacks = append(lacks, "Landlock for TCP and signals")
	case !landlockSignals():
		lacks = append(lacks, "Landlock for signals")
	}
	if !filters() {
		lacks = append(lacks, "a seccomp filter (sockets, other processes)")
	}
	return lacks
})

// hide: the kernel lets nobody but root look into a process that may not be
// dumped, and gives its files in /proc to root. A program that is started anew
// may be dumped again.
func hide() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
