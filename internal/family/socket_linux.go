package family

import (
	"os"
	"strconv"
)

// holdsSocket reports whether a process has a socket of that number open.
func holdsSocket(pid int, inode uint64) bool {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd/"
	dir, err := os.Open(folder)
	if err != nil {
		return false
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // those that were read
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	for _, name := range names {
		if link, err := os.Readlink(folder + name); err == nil && link == want {
			return true
		}
	}
	return false
}
