package isolate

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"longshore/internal/family"
)

// limits is what a child has set for itself, and how it measures its work.
type limits struct {
	temp   string // TMPDIR as it came
	asleep int64  // resident bytes at rest
	meter
}

// Nicer is how much lower a child's priority is than its parent's, which must
// get a core when it is time to kill.
const nicer = 5

// prepare makes this process a child: deaf to signals that are for its parent,
// below it in priority, capped in memory.
func prepare(memory int64) (limits, error) {
	// Soft stops come over the socket. A platform, or a terminal, may send the
	// same signals to every process it finds. Programs started here inherit this.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGTTIN,
		syscall.SIGTTOU)
	lowerPriority()
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) // a crash leaves no file
	l := limits{temp: os.TempDir()}
	if err := l.open(); err != nil {
		return l, err
	}
	l.asleep, _, _ = memoryOfSelf()
	if memory > 0 {
		if err := capMemory(memory); err != nil {
			return l, err
		}
		// Collect harder before the cap is reached.
		debug.SetMemoryLimit(l.asleep + memory/10*9)
	}
	return l, nil
}

func memoryOfSelf() (now, peak int64, ok bool) { return family.Resident(os.Getpid()) }

// lowerPriority lowers the whole process group, which is this process: of a
// single process Linux would only take the calling thread.
func lowerPriority() {
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, min(ownPriority()+nicer, 19))
}

func ownGroup() int { return syscall.Getpgrp() }

// cpuTime is what this process and those that it waited for have used.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			total += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
	}
	return total
}
