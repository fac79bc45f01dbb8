package localredis

import "syscall"

// childAttr puts the server into a process group of its own, so that Ctrl-C in
// a terminal reaches only its parent, and lets it die with its parent.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
