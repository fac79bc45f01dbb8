package functions

import (
	"errors"
	"os"
	"syscall"
)

// maxRest is the most that a pipe may still hold, in bytes: more comes from somebody who
// goes on writing.
const maxRest = 1 << 20

// ReadRest hands on what is in a pipe at this moment, which must not block. A read after a
// deadline is an error even where there is something to read, so whoever reads to a deadline
// on a busy machine calls this after it: else the last words are lost.
func ReadRest(f *os.File, buf []byte, take func([]byte)) {
	raw, err := f.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { // likewise
		for left := maxRest; left > 0; {
			n, err := syscall.Read(int(fd), buf)
			switch {
			case errors.Is(err, syscall.EINTR):
			case n <= 0:
				return
			default:
				take(buf[:n])
				left -= n
			}
		}
	})
}
