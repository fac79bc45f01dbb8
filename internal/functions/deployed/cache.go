package deployed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"longshore/internal/blob"
	"longshore/internal/functions"
	"longshore/internal/functions/registry"
)

// errors of file systems that are an archive's fault.
const (
	errNotDir      = syscall.ENOTDIR
	errIsDir       = syscall.EISDIR
	errNameTooLong = syscall.ENAMETOOLONG
)

// A Cache is a folder of unpacked contents, by their SHA-256, which all workers of one user
// on a machine share. It holds
//
//	<sha256>/        a content, complete and verified: it came here by a rename
//	<sha256>.lock    locked, shared, by whoever uses it; its time is that of the last use
//	new-…            what is being unpacked
type Cache struct {
	folder string
	max    int64 // bytes

	evicting sync.Mutex
}

// OpenCache opens the cache in a folder, and makes it where it is missing. Contents that
// nobody uses go, the one used least recently first, while there are over max bytes. others
// says that programs of other users must be able to read what is in it.
func OpenCache(folder string, max int64, others bool) (*Cache, error) {
	mode := fs.FileMode(0o700)
	if others {
		mode = 0o711
	}
	if err := os.Mkdir(folder, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make cache of functions: %w", err)
	}
	// What lies in a folder for all, as /tmp, may have been made by anybody.
	info, err := os.Lstat(folder)
	if err != nil {
		return nil, fmt.Errorf("open cache of functions: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && int(stat.Uid) != os.Geteuid() ||
		info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("cache of functions %s is not this user's own folder", folder)
	}
	if err := os.Chmod(folder, mode); err != nil {
		return nil, fmt.Errorf("open cache of functions: %w", err)
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, fmt.Errorf("open cache of functions: %w", err)
	}
	return &Cache{folder: folder, max: max}, nil
}

// A Copy is a content that is in use: it stays until Close.
type Copy struct {
	Folder string
	lock   *os.File
}

// Close gives the content up.
func (c *Copy) Close() error { return c.lock.Close() }

// errDigest says that a blob is not what was deployed.
var errDigest = errors.New("what the blob store has is not what was deployed")

// Fetch returns a version's content, from the cache or by the blob store. It is verified
// before it counts.
func (c *Cache) Fetch(ctx context.Context, v registry.Version, blobs blob.Store) (*Copy, error) {
	if digest, err := hex.DecodeString(v.SHA256); err != nil || len(digest) != sha256.Size {
		return nil, fmt.Errorf("version %d has no digest", v.Number)
	}
	lock, err := c.lock(v.SHA256)
	if err != nil {
		return nil, err
	}
	u := &Copy{Folder: filepath.Join(c.folder, v.SHA256), lock: lock}
	if _, err := os.Stat(u.Folder); err == nil {
		return u, nil
	}
	if err := c.fill(ctx, v, blobs, u.Folder); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	c.evict()
	return u, nil
}

// lock takes a content's lock, shared, and notes the use.
func (c *Cache) lock(sha string) (*os.File, error) {
	path := filepath.Join(c.folder, sha+lockSuffix)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f, syscall.LOCK_SH); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		ours, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		there, err := os.Stat(path)
		if err == nil && os.SameFile(ours, there) {
			now := time.Now()
			_ = os.Chtimes(path, now, now) // only an order of eviction
			return f, nil
		}
		f.Close() // it was evicted between opening and locking: nothing to tell
	}
}

const lockSuffix = ".lock"

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// fill fetches, unpacks and verifies a content, and only then puts it where it belongs.
func (c *Cache) fill(ctx context.Context, v registry.Version, blobs blob.Store, to string) error {
	in, err := blobs.Open(ctx, v.Blob)
	if err != nil {
		return fmt.Errorf("fetch version %d: %w", v.Number, err)
	}
	defer in.Close()
	temp, err := os.MkdirTemp(c.folder, newPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // where it wasn't renamed
	code := filepath.Join(temp, "code")
	if err := os.Mkdir(code, 0o755); err != nil {
		return err
	}
	sum := sha256.New()
	body := io.TeeReader(io.LimitReader(in, MaxSize+1), sum)
	if err := unpack(v.Kind, body, code); err != nil {
		return fmt.Errorf("unpack version %d: %w", v.Number, err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fmt.Errorf("fetch version %d: %w", v.Number, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != v.SHA256 {
		return fmt.Errorf("version %d: %w", v.Number, errDigest)
	}
	if err := openModes(code); err != nil {
		return err
	}
	if err := syncAll(code); err != nil {
		return err
	}
	if err := os.Rename(code, to); err != nil && !errors.Is(err, fs.ErrExist) &&
		!errors.Is(err, syscall.ENOTEMPTY) { // another worker was faster
		return err
	}
	return nil
}

const newPrefix = "new-"

// openModes makes folders such that all may read them, whatever the umask is.
func openModes(folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

// forgotten is the age of what was being unpacked by a process that isn't any more.
const forgotten = time.Hour

// evict removes what nobody uses, while there is too much. What goes wrong is for the next
// time: the cache is only larger meanwhile.
func (c *Cache) evict() {
	c.evicting.Lock()
	defer c.evicting.Unlock()
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		return
	}
	type content struct {
		sha  string
		size int64
		used time.Time
	}
	var all []content
	total := int64(0)
	for _, e := range entries {
		path := filepath.Join(c.folder, e.Name())
		info, err := e.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(e.Name(), newPrefix):
			if time.Since(info.ModTime()) > forgotten {
				_ = os.RemoveAll(path)
			}
		case e.IsDir():
			one := content{sha: e.Name(), size: sizeOf(path)}
			if lock, err := os.Stat(path + lockSuffix); err == nil {
				one.used = lock.ModTime()
			}
			all, total = append(all, one), total+one.size
		}
	}
	slices.SortFunc(all, func(a, b content) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.sha, b.sha))
	})
	for _, one := range all {
		if total <= c.max {
			return
		}
		if c.drop(one.sha) {
			total -= one.size
		}
	}
}

// drop removes a content that nobody uses.
func (c *Cache) drop(sha string) bool {
	path := filepath.Join(c.folder, sha)
	f, err := os.OpenFile(path+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	ours, err := f.Stat()
	if there, gone := os.Stat(path + lockSuffix); err != nil || gone != nil || !os.SameFile(ours, there) {
		return false // another process dropped it, and a third one has it anew
	}
	temp, err := os.MkdirTemp(c.folder, newPrefix)
	if err != nil {
		return false
	}
	defer os.RemoveAll(temp)
	if os.Rename(path, filepath.Join(temp, "gone")) != nil {
		return false
	}
	_ = os.Remove(path + lockSuffix) // who waits for the lock sees that it is another file now
	return true
}

func sizeOf(folder string) (n int64) {
	_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes meanwhile
		}
		if info, err := d.Info(); err == nil {
			n += max(info.Size(), 4096)
		}
		return nil
	})
	return n
}

// Load makes a function of a version's content. It keeps the copy until its Hold is closed.
func Load(typ string, v registry.Version, u *Copy, rules Rules,
	l *functions.Loader) (*functions.Function, error) {
	f, err := load(typ, u.Folder, rules, l)
	if err != nil {
		return nil, err
	}
	f.Version, f.SHA256, f.Hold = v.Number, v.SHA256, u
	return f, nil
}
