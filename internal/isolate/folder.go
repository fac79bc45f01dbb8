package isolate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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
	// It gets its name when it is locked: else one that looks meanwhile takes this for a
	// dead process's.
	name := filepath.Join(path, lockFile)
	b.lock, err = os.OpenFile(name+".new", os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
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

// guardable is set where this program can be a guard: its main has called Main.
var guardable atomic.Bool

// Guard starts a process that outlives this one. It kills what is left then of the families
// that have the names of some folders of work folders for a mark, and removes the folders.
// It fails where Main was not the first call of main.
func Guard(folders ...string) (*family.Guard, error) {
	if !guardable.Load() {
		return nil, errors.New("a guard can't be started: the child's entry is not the first call of main")
	}
	program, err := family.Program()
	if err != nil {
		return nil, err
	}
	return family.StartGuard(program, folders...)
}

// A guard waits so long for the kernel to end what holds a folder.
const (
	removeTries = 50
	removePause = 100 * time.Millisecond
)

// removeLeft removes a base whose process is no more; one whose process lives stays.
func removeLeft(path string) {
	if !strings.HasPrefix(filepath.Base(path), basePrefix) {
		return
	}
	gone := false
	for range removeTries {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		// The lock may be the first that goes: who had none before has none after.
		if gone = gone || dead(path); gone && removeAll(path) == nil {
			return
		}
		time.Sleep(removePause)
	}
}

// Path is the folder in which all work folders of the pool are.
func (p *Pool) Path() string { return p.base.path }

// Folder returns an empty work folder that only this user may enter. The caller
// gives it back to RemoveFolder once the work has ended.
func (p *Pool) Folder() (string, error) {
	for path := p.base.spare(); path != ""; path = p.base.spare() {
		if untouched(path) {
			return path, nil
		}
		_ = removeAll(path) // somebody wrote there after all; what stays goes with the pool
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

// Folders are work folders for who runs programs of his own; a Pool has its own.
type Folders struct{ base *base }

// OpenFolders makes a folder for them in dir, "" = os.TempDir(), and removes what dead
// processes have left there. Its name is a mark for families (package family): what
// such a process could not end is ended too. Orphans of this process's descendants
// become its children, so that families are found whole.
func OpenFolders(dir string) (*Folders, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := family.AdoptOrphans(); err != nil {
		return nil, err
	}
	b, err := newBase(dir)
	if err != nil {
		return nil, err
	}
	return &Folders{b}, nil
}

// Path is the folder in which all of them are.
func (f *Folders) Path() string { return f.base.path }

// New returns an empty folder that only this user may enter.
func (f *Folders) New() (string, error) {
	path, err := os.MkdirTemp(f.base.path, "")
	if err != nil {
		return "", fmt.Errorf("make work folder: %w", err)
	}
	return path, nil
}

// Remove removes one with all that is in it.
func (f *Folders) Remove(path string) error {
	if err := removeAll(path); err != nil {
		return fmt.Errorf("remove work folder: %w", err)
	}
	return nil
}

// Close removes all.
func (f *Folders) Close() error { return f.base.remove() }

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
