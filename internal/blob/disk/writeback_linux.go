package disk

import (
	"os"
	"syscall"
)

// startWriteback asks the kernel to begin writing a part of a file to disk, so
// that the sync at the end finds little left to do and a large upload doesn't
// fill the page cache with unwritten pages. It is a hint: errors don't matter,
// the sync reports them.
func startWriteback(f *os.File, offset, length int64) {
	const write = 2 // SYNC_FILE_RANGE_WRITE: start, don't wait; sync_file_range(2)
	_ = syscall.SyncFileRange(int(f.Fd()), offset, length, write)
}
