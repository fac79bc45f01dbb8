//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused are the calls that the filter answers with EPERM, whatever is asked.
var refused = append([]uint32{
	// The way around the network's rules.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
	unix.SYS_PROCESS_MRELEASE,
	unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_MIGRATE_PAGES,
	unix.SYS_MOVE_PAGES, unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN,
	// The view of the system.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT,
	unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_FANOTIFY_INIT,
	// What others' files are, by their names: Landlock guards what is in them only.
	unix.SYS_FCHOWNAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR,
	unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR, unix.SYS_OPEN_TREE_ATTR,
	unix.SYS_TRUNCATE, // of which older versions of Landlock know nothing
	// The kernel's larger doors.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_KEYCTL,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE,
	unix.SYS_DELETE_MODULE, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
}, refusedHere...)

// onlyItself are the calls whose first argument names a process: 0, the caller,
// is allowed.
var onlyItself = []uint32{unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETSCHEDULER,
	unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR}

const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Where seccomp_data (seccomp(2)) has its fields. Both architectures are little
// endian: an argument's low half comes first.
const (
	numberAt   = 0
	archAt     = 4
	argumentAt = 16
)

const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	atMost = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	anyOf  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	mask   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	end    = unix.BPF_RET | unix.BPF_K
)

func op(code uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k}
}

// What the filter may say. A refusal is EPERM, not death: libraries try things and do
// without.
var (
	refuse  = op(end, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), 0, 0)
	absent  = op(end, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS), 0, 0)
	pretend = op(end, unix.SECCOMP_RET_ERRNO, 0, 0) // errno 0: nothing is done, and success is said
	accept  = op(end, unix.SECCOMP_RET_ALLOW, 0, 0)
)

// on is a block for one call: behind it the next call is looked at, with the number
// loaded as before. Each of its ways must end in a verdict.
func on(number uint32, block ...unix.SockFilter) []unix.SockFilter {
	return append([]unix.SockFilter{op(equal, number, 0, uint8(len(block)))}, block...)
}

// program writes the filter of a policy.
func program(policy Policy) []unix.SockFilter {
	p := []unix.SockFilter{
		// Numbers mean something else in another architecture's calls.
		op(load, archAt, 0, 0), op(equal, nativeArch, 1, 0), op(end, unix.SECCOMP_RET_KILL_PROCESS, 0, 0),
		op(load, numberAt, 0, 0),
		op(atMost, 1<<30, 0, 1), refuse, // x32's, and -1
	}
	for _, number := range refused {
		p = append(p, on(number, refuse)...)
	}
	for _, number := range onlyItself {
		p = append(p, on(number, op(load, argumentAt, 0, 0), op(equal, 0, 0, 1), accept, refuse)...)
	}
	p = append(p, sockets(policy)...)
	p = append(p, modes(policy)...)
	// Its flags lie in memory, where no filter sees them. C libraries fall back to clone.
	p = append(p, on(unix.SYS_CLONE3, absent)...)
	p = append(p, on(unix.SYS_CLONE, op(load, argumentAt, 0, 0), op(anyOf, newNamespaces, 0, 1), refuse,
		accept)...)
	// Typing into a terminal.
	p = append(p, on(unix.SYS_IOCTL, op(load, argumentAt+8, 0, 0), op(equal, unix.TIOCSTI, 1, 0),
		op(equal, unix.TIOCLINUX, 0, 1), refuse, accept)...)
	return append(p, accept)
}

// sockets writes the part about the network. Landlock stops neither sockets of this
// machine, as a Redis may have one, nor UDP, nor TCP in the guise of another protocol.
func sockets(policy Policy) []unix.SockFilter {
	const kind = 0xf // of a socket's type; the rest are flags
	var p []unix.SockFilter
	switch {
	case !policy.AnyPort && len(policy.Connect) == 0:
		p = on(unix.SYS_SOCKET, refuse)
	default:
		udp := accept
		if policy.TCPOnly {
			udp = refuse
		}
		p = on(unix.SYS_SOCKET,
			op(load, argumentAt, 0, 0), op(equal, unix.AF_INET, 1, 0), op(equal, unix.AF_INET6, 0, 8),
			op(load, argumentAt+16, 0, 0), op(equal, 0, 2, 0), op(equal, unix.IPPROTO_TCP, 1, 0),
			op(equal, unix.IPPROTO_UDP, 0, 4), op(load, argumentAt+8, 0, 0), op(mask, kind, 0, 0),
			op(equal, unix.SOCK_STREAM, 2, 0), op(equal, unix.SOCK_DGRAM, 2, 0), refuse, accept, udp)
	}
	if !policy.Whole {
		return append(p, on(unix.SYS_SOCKETPAIR, refuse)...)
	}
	// The end of a pair of datagrams can be turned to another address.
	return append(p, on(unix.SYS_SOCKETPAIR, op(load, argumentAt+8, 0, 0), op(mask, kind, 0, 0),
		op(equal, unix.SOCK_STREAM, 0, 1), accept, refuse)...)
}

// modes writes the part about modes, owners and times of files.
func modes(policy Policy) (p []unix.SockFilter) {
	if policy.Whole && policy.KeepUser {
		return nil // the files that it may change are its own
	}
	verdict := refuse
	if policy.Whole {
		verdict = pretend
	}
	for _, number := range append([]uint32{unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2}, modesHere...) {
		p = append(p, on(number, verdict)...)
	}
	// The times of an open file only; those of a named one are others' business.
	return append(p, on(unix.SYS_UTIMENSAT, op(load, argumentAt+8, 0, 0), op(equal, 0, 0, 3),
		op(load, argumentAt+12, 0, 0), op(equal, 0, 0, 1), accept, verdict)...)
}

// filters reports whether the kernel takes such a filter.
func filters() bool {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0,
		uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// filter sets a policy's filter for the calling thread.
func filter(policy Policy) error {
	if !filters() {
		return nil
	}
	p := program(policy)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
