package imaging

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the program a process group of its own. When we die the sandbox
// sees to its end.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
