//go:build !linux

package isolate

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A meter measures the resident size of this process.
type meter struct{}

func (*meter) open() error { return nil }

// begin can't forget the peak so far here.
func (*meter) begin() {}

// end returns the peak of the process's whole life for both.
func (*meter) end(time.Duration) (now, peak int64) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0, 0
	}
	return int64(r.Maxrss) * maxrssUnit, int64(r.Maxrss) * maxrssUnit
}

// capMemory: the parent's look at the resident size is the only cap.
func capMemory(int64) error { return nil }

func ownPriority() int {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return n
}
