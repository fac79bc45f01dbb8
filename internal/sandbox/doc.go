// Package sandbox runs a foreign program on strangers' data with as little as
// it needs: the files it reads and the folder it writes, no network, no hold on
// other processes, bounded memory and files.
//
// On Linux the limits are set on the thread that starts the program, and are
// inherited: no_new_privs, no capabilities, Landlock (files, TCP, signals) and a
// seccomp filter (sockets, other processes' memory, namespaces, mounts, the
// kernel's larger doors). The process that starts it keeps all it has. That
// thread starts nothing else and stays until the program has ended, since the
// kernel ties the program's life to its.
//
// Limits of memory, file sizes and open files belong to a process, not to a
// thread: they are set from outside just after the start, so the program's
// first moments have its parent's.
//
// What the kernel lacks is left out, and Missing tells. Elsewhere than on Linux
// there is nothing.
package sandbox

import (
	"os/exec"
	"strings"
)

// A Policy is what a program may do.
type Policy struct {
	// Read lists files and folders that it may read and execute, with all below;
	// what is not there is left out. System lists what programs need to start.
	Read []string
	// Write lists folders in which it may do anything with files.
	Write []string

	Memory   uint64 // most private memory in bytes: RLIMIT_DATA; 0 = as the parent
	FileSize uint64 // most bytes of a file that it writes; 0 = as the parent
	Files    uint64 // most open files; 0 = as the parent
}

// Run runs a command to its end under a policy, as Cmd.Run does. On Linux the
// kernel ends the command when the process that called Run ends.
func Run(cmd *exec.Cmd, policy Policy) error { return run(cmd, policy) }

// Missing says what of the above this system lacks; "" if nothing.
func Missing() string { return strings.Join(missing(), ", ") }

// Hide keeps this process's memory, environment and open files from others of
// the same user, where the system can: it has the secrets of the installation.
// Programs that it starts are not hidden.
func Hide() { hide() }
