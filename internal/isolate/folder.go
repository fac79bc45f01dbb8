package isolate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"longshore/internal/family"
)

// A base holds the work folders of one pool. Its lock lasts as long as the
// process, so that another pool can tell a dead one's and remove it.
type base struct {
	path string
	lock *os.File

	mu     sync.Mutex
	spares []string // empty work folders
}

const (
	basePrefix = "longshore-work-"
	lockFile   = "lock"
	// newBaseAge is how long a base may be without a lock: it is being made.
	newBaseAge = time.Minute
)

// newBase makes a base, and removes those that dead processes left behind.
func newBase(dir string) (*base, error) {
	removeDead(dir)
	path, err := os.MkdirTemp(dir, basePrefix)
	if err != nil {
		return nil, err
	}
	b := &base{path: path}
	b.lock, err = os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return b, nil
}

func (b *base) remove() error {
	var err error
	if b.lock != nil {
		err = b.lock.Close()
	}
	return errors.Join(err, removeAll(b.path))
}

// removeDead removes the bases of processes that are no more, and ends what
// their children have started and could not take along. Other users' can't be
// removed, and needn't be.
func removeDead(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), basePrefix) && dead(filepath.Join(dir, e.Name())) {
			family.KillMarked(e.Name())
			_ = removeAll(filepath.Join(dir, e.Name())) // the next one tries again
		}
	}
}

func dead(path string) bool {
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(path)
		return err == nil && time.Since(info.ModTime()) > newBaseAge
	}
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// Folder returns an empty work folder that only this user may enter. The caller
// gives it back to RemoveFolder once the work has ended.
func (p *Pool) Folder() (string, error) {
	if path := p.base.spare(); path != "" {
		return path, nil
	}
	path, err := os.MkdirTemp(p.base.path, "")
	if err != nil {
		return "", fmt.Errorf("make work folder: %w", err)
	}
	return path, nil
}

// RemoveFolder removes a work folder with all that the work has made of it. One
// that is as it was is kept for the next work: making and removing a folder
// costs more than handing over small work.
func (p *Pool) RemoveFolder(path string) error {
	if untouched(path) && p.base.keep(path, p.config.Slots) {
		return nil
	}
	if err := removeAll(path); err != nil {
		return fmt.Errorf("remove work folder: %w", err)
	}
	return nil
}

func (b *base) spare() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spares) == 0 {
		return ""
	}
	path := b.spares[len(b.spares)-1]
	b.spares = b.spares[:len(b.spares)-1]
	return path
}

// keep takes an empty folder back, unless there are enough.
func (b *base) keep(path string, most int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spares) >= most {
		return false
	}
	b.spares = append(b.spares, path)
	return true
}

// untouched reports whether a folder is empty and open to its owner only.
func untouched(path string) bool {
	dir, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = syscall.Close(dir) }() // it was only read
	var info syscall.Stat_t
	if err := syscall.Fstat(dir, &info); err != nil || info.Mode&0o7777 != 0o700 {
		return false
	}
	var buf [1024]byte
	n, err := syscall.ReadDirent(dir, buf[:])
	if err != nil {
		return false
	}
	_, _, names := syscall.ParseDirent(buf[:n], -1, nil)
	return len(names) == 0
}

// removeAll is os.RemoveAll that also gets into folders closed to their owner.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
