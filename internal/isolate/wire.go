package isolate

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// A wire is one end of the socket pair between a parent and a child. It blocks
// in the system call: a thread that waits there goes on sooner than a goroutine
// that Go's poller has to find, and that is most of what isolation costs.
type wire int

// sendPatience bounds a write: a child that doesn't read for so long is broken.
const sendPatience = 5 * time.Second

// newWires returns two connected ends, neither of which another child inherits
// by chance. The second one is for the child.
func newWires() (ours wire, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs = wire(fds[0]), os.NewFile(uintptr(fds[1]), "child")
	patience := syscall.NsecToTimeval(sendPatience.Nanoseconds())
	if err := syscall.SetsockoptTimeval(fds[0], syscall.SOL_SOCKET, syscall.SO_SNDTIMEO,
		&patience); err != nil {
		return 0, nil, errors.Join(os.NewSyscallError("setsockopt", err), ours.close(), theirs.Close())
	}
	return ours, theirs, nil
}

func (w wire) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(w), p)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(w), p)
	}
	switch {
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (w wire) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := syscall.Write(int(w), p[written:])
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return written, os.NewSyscallError("write", err)
		}
		written += max(n, 0)
	}
	return written, nil
}

// writeWith writes, and gives the other end a descriptor too.
func (w wire) writeWith(p []byte, fd int) error {
	rights := syscall.UnixRights(fd)
	n, err := syscall.SendmsgN(int(w), p, rights, nil, 0)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.SendmsgN(int(w), p, rights, nil, 0)
	}
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	_, err = w.Write(p[n:])
	return err
}

// shut ends all reading and writing, on both ends.
func (w wire) shut() { _ = syscall.Shutdown(int(w), syscall.SHUT_RDWR) }

// close lets go of the descriptor. Nobody may be using it.
func (w wire) close() error { return os.NewSyscallError("close", syscall.Close(int(w))) }
