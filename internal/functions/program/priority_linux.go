package program

import "golang.org/x/sys/unix"

// nicer is how much lower the priority of programs is than ours, who must get a core
// when it is time to end them.
const nicer = 5

// lowerPriority lowers that of a program and all that it starts.
func lowerPriority(head int) {
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PGRP, head, min(20-raw+nicer, 19)) // of one that has ended: not needed
	}
}
