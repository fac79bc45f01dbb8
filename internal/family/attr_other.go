//go:build !linux

package family

import "syscall"

// attributes puts the child into a process group of its own. That its parent
// has died it notices by the end of its socket.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
