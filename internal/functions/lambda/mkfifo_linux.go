package lambda

import (
	"errors"

	"golang.org/x/sys/unix"
)

// mkfifo makes a FIFO in a place, wherever the process has moved that.
func mkfifo(l *place, name string) error {
	dir, err := l.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	raw, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Mkfifoat(int(fd), name, 0o600) })
	return errors.Join(err, failed)
}
