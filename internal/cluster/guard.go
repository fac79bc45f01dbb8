package cluster

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"longshore/internal/family"
)

// shimMode, the first argument, makes the program something else than a cluster; see Mode.
const shimMode = "--be-shim"

// Mode does what the program was started for by a cluster, and returns true if that is
// not to be one. It is to be called first in main.
//
// A guard outlives its cluster, and kills what is left of the processes: family.Guard.
//
// A shim becomes the program that follows. It tells it that descriptor 3 is a socket for
// this process, which only a process itself can say (LISTEN_PID of sd_listen_fds(3)).
func Mode(args []string, stdin io.Reader, stderr io.Writer) (code int, done bool) {
	switch {
	case family.BeGuard(args, stdin, nil):
		return 0, true
	case len(args) >= 2 && args[0] == shimMode:
		env := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()))
		err := syscall.Exec(args[1], args[1:], env)
		fmt.Fprintf(stderr, "start %s: %v\n", args[1], err)
		return exitCantStart, true
	}
	return 0, false
}

// exitCantStart is what shells say of a program that can't be run.
const exitCantStart = 126
