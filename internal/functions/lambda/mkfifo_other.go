//go:build !linux

package lambda

import (
	"path/filepath"
	"syscall"
)

// mkfifo makes a FIFO in a place, by its path: here a program is kept from nothing.
func mkfifo(l *place, name string) error { return syscall.Mkfifo(filepath.Join(l.path, name), 0o600) }
