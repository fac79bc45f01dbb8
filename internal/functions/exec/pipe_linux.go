package exec

import (
	"os"
	"syscall"
)

// growPipe asks for a larger pipe: F_SETPIPE_SZ in fcntl(2). Where the user has many
// already, it stays as it is.
func growPipe(f *os.File) {
	const setPipeSize = 1031
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, setPipeSize, pipeSize)
		})
	}
}
