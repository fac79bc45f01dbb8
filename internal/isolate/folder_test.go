package isolate

import (
	"os"
	"sync"
	"testing"
)

// TestFoldersAtOnce holds that who looks for what dead processes have left takes no folder
// for one that is just being opened.
func TestFoldersAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opened := make(chan struct{})
	var lookers sync.WaitGroup
	for range 3 {
		lookers.Go(func() {
			for {
				select {
				case <-opened:
					return
				default:
					removeDead(dir)
				}
			}
		})
	}
	for range 100 {
		f, err := OpenFolders(dir)
		if err != nil {
			t.Error(err)
			break
		}
		if path, err := f.New(); err != nil {
			t.Error(err)
		} else if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	close(opened)
	lookers.Wait()
}
