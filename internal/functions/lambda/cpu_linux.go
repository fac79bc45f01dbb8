package lambda

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what a process has used in all its life: its CPU clock, which any process
// may read (clock_getcpuclockid(3)). 0 = it is gone.
func cpuTime(pid int) time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
