package family

import "syscall"

// attributes puts the child into a process group of its own, so that it can be
// killed with what it starts and a terminal's Ctrl-C reaches only its parent,
// and lets it die with the thread that started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
