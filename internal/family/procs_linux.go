package family

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processes lists all processes, from /proc (proc(5)). One that ends meanwhile
// is left out.
func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := lookUp(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// lookUp reads one process.
func lookUp(pid int) (process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	return parseStat(pid, text)
}

// parseStat reads a stat file. The name of the program, the second field, is in
// parentheses and may hold anything.
func parseStat(pid int, text []byte) (process, bool) {
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 22 {
		return process{}, false
	}
	num := func(i int) int64 { // i counts from 1, as in proc(5)
		n, _ := strconv.ParseInt(fields[i-3], 10, 64)
		return n
	}
	return process{pid: pid, parent: int(num(4)), group: int(num(5)), session: int(num(6)),
		began: num(22), zombie: fields[0] == "Z" || fields[0] == "X", stopped: fields[0] == "T" ||
			fields[0] == "t"}, true
}

// Resident returns the resident size of a process now and at its peak, in bytes.
func Resident(pid int) (now, peak int64, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, false
	}
	peak, ok = StatusField(text, "VmHWM:")
	now, _ = StatusField(text, "VmRSS:")
	return now, peak, ok
}

// ownMemory returns what a process has for itself: the pages that forked
// processes share with a file, such as a program's code, are not counted.
func ownMemory(p process) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(fields[1], 10, 64)
	shared, _ := strconv.ParseInt(fields[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize())
}

// carries reports whether the environment with which a process was started
// holds a variable that begins so, "NAME=value".
func carries(pid int, variable string) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false // another user's, or a zombie
	}
	return bytes.HasPrefix(text, []byte(variable)) || bytes.Contains(text, []byte("\x00"+variable))
}

// worksIn reports whether a process's working directory is in a folder.
func worksIn(pid int, folder string) bool {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	return err == nil && strings.HasPrefix(dir+"/", folder+"/")
}

// awaitExit waits until a child of this process has ended and leaves it a
// zombie, so that its number can't be another's yet. It reports whether it
// could.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// HasChildren reports whether this process has any, zombies included.
func HasChildren() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return !errors.Is(err, unix.ECHILD)
}

// AdoptOrphans makes orphaned descendants children of this process, instead of
// init's: PR_SET_CHILD_SUBREAPER in prctl(2).
func AdoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// reap takes notice of the end of a child of this process.
func reap(pid int) {
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // somebody else's, or not ended: fine too
}

// KernelKills counts the processes that the kernel has killed for want of memory.
func KernelKills() int64 {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(text, []byte("\noom_kill "))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.ParseInt(string(line), 10, 64)
	return n
}

// Threads is how many threads all processes of the machine have together: loadavg in
// proc(5); 0 = not known.
func Threads() uint64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	_, total, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.ParseUint(total, 10, 64)
	return n
}

// Uptime is a clock that all processes of a machine share. It goes on while the
// machine is suspended.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}

// Program is the path of the program that runs, even if its file was replaced.
func Program() (string, error) {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link, nil
	}
	return os.Executable()
}
