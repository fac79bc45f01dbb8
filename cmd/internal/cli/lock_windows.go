package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// farByte is a byte that no journal has: on Windows nobody could read one that is locked.
func farByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 1 << 30} }

// lock takes a file for this process, or says at once that another has it.
func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, farByte())
}

func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, farByte())
}
