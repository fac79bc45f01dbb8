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
	// Use lists files, FIFOs among them, that it may read and write.
	Use []string

	Memory    uint64 // most private memory in bytes: RLIMIT_DATA; 0 = as the parent
	FileSize  uint64 // most bytes of a file that it writes; 0 = as the parent
	Files     uint64 // most open files; 0 = as the parent
	Processes uint64 // most processes of its user: RLIMIT_NPROC; 0 = as the parent

	// Whole says that the program is one of any kind and not a single tool: it may
	// start others, from Write too, make FIFOs and pairs of sockets and look at its own
	// /proc. Modes and times of files are changed for real where it has a user of its
	// own (KeepUser); elsewhere a change by name does nothing and says that it did, for
	// Landlock does not guard those of others' files.
	Whole bool
	// KeepUser leaves the thread what it needs to start the program as another user.
	// The program itself then has no capabilities, as any user but root.
	KeepUser bool

	// Connect lists TCP ports to which it may connect; with some, or AnyPort, it has
	// UDP too, for names must be resolved, unless TCPOnly is set.
	Connect []uint16
	AnyPort bool // and may listen
	TCPOnly bool
}

// Run runs a command to its end under a policy, as Cmd.Run does. On Linux the
// kernel ends the command when the process that called Run ends.
func Run(cmd *exec.Cmd, policy Policy) error { return run(cmd, policy) }

// Start calls start, which starts a process and returns its number, on a thread of its
// own that has the limits of a policy, nil = none, and stays until release is closed:
// close it once the process has ended, and not before. Limits that belong to a process
// are set when it has been started; one for which that fails is killed.
func Start(policy *Policy, start func() (pid int, err error), release <-chan struct{}) error {
	return startOn(policy, start, release)
}

// Missing says what of the above this system lacks; "" if nothing.
func Missing() string { return strings.Join(missing(), ", ") }

// Files reports whether this system can keep a program from files.
func Files() bool { return files() }

// Nothing reports whether this system has none of it.
func Nothing() bool { return len(missing()) >= layers }

// layers are those that Missing may name.
const layers = 2

// Hide keeps this process's memory, environment and open files from others of
// the same user, where the system can: it has the secrets of the installation.
// Programs that it starts are not hidden.
func Hide() { hide() }
