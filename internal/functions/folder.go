package functions

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/job"
)

const (
	folderEvery     = time.Second
	maxFolderFiles  = 10_000
	folderPerOutput = 2 // times Host.MaxOutput: what a job may have in its folders
)

// WatchFolders looks at a job's folders each second, until stop is called, and calls fail,
// once, when they hold more than the host allows.
func WatchFolders(h *Host, fail func(error), dirs ...string) (stop func()) {
	var mu sync.Mutex
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(folderEvery, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if err := checkFolders(folderPerOutput*h.MaxOutput, dirs); err != nil {
			fail(err)
			return
		}
		timer.Reset(folderEvery)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// checkFolders says whether folders hold too much.
func checkFolders(most int64, dirs []string) (err error) {
	var size int64
	entries := 0
	limit := func(format string, n int64) error {
		return handlers.FailWith(job.OutputLimit, fmt.Errorf("the work folder holds over "+format, n))
	}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, failed error) error {
			if failed != nil {
				return nil //nolint:nilerr // it is gone, or closed to us: it counts for nothing
			}
			if entries++; entries > maxFolderFiles {
				err = limit("%d files", maxFolderFiles)
				return fs.SkipAll
			}
			if info, failed := d.Info(); failed == nil && info.Mode().IsRegular() {
				size += onDisk(info)
			}
			if size > most {
				err = limit("%d bytes", most)
				return fs.SkipAll
			}
			return nil
		})
	}
	return err
}

// onDisk is what a file takes: one with holes may be longer than that.
func onDisk(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}
