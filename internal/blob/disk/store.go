// Package disk keeps blobs as files in a folder. A blob is written to a
// temporary file in the same file system, synced, renamed, and its folders are
// synced, so it survives a power cut once Commit has returned.
//
// The folder holds:
//
//	store-id            a random id, so that two processes can tell whether
//	                    they look at the same folder
//	temp/…              files that are being written
//	partial/…           files that come in pieces
//	jobs/xx/<job>/…     blobs; xx is the end of the job's id, so that no folder
//	                    gets millions of entries
package disk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"longshore/internal/blob"
)

// A Store is a folder of blobs. Several processes may use one folder.
type Store struct {
	root  *os.Root
	id    string
	floor *blob.Floor // nil = the disk may be filled
}

var _ blob.Store = (*Store)(nil)

const (
	idFile  = "store-id"
	tempDir = "temp"
	jobsDir = "jobs"
)

// Open opens the folder, and makes it where it is missing, readable to its
// owner only.
func Open(folder string) (*Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make blob folder: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	s := &Store{root: root}
	if err := s.prepare(); err != nil {
		root.Close()
		return nil, fmt.Errorf("open blob folder %s: %w", folder, err)
	}
	return s, nil
}

// ID returns the random id that the folder got when it was first opened, 32
// hexadecimal digits.
func (s *Store) ID() string { return s.id }

// KeepFree has every writer stop with ErrNoSpace where less than that many bytes
// would be free behind it, but at most a twentieth of the disk; 0 = none need be.
// It is called before the store is used.
func (s *Store) KeepFree(bytes int64) {
	s.floor = nil
	if bytes > 0 {
		s.floor = &blob.Floor{Min: bytes, Space: func() (free, total int64, err error) {
			return s.Space(context.Background())
		}}
	}
}

// Close lets go of the folder. Blobs that are open stay readable.
func (s *Store) Close() error { return s.root.Close() }

// prepare makes what a new folder needs, and reads its id.
func (s *Store) prepare() error {
	for _, dir := range []string{tempDir, partialDir, jobsDir} {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// All 256, now: then a commit has no folder to make durable but its job's.
	for i := range 256 {
		if err := s.mkdir(path.Join(jobsDir, hex.EncodeToString([]byte{byte(i)}))); err != nil {
			return err
		}
	}
	if err := s.mkdir(path.Join(jobsDir, otherDir)); err != nil {
		return err
	}
	id, err := s.readID()
	if errors.Is(err, fs.ErrNotExist) {
		id, err = s.drawID()
	}
	if err != nil {
		return err
	}
	s.id = id
	return errors.Join(s.syncDir(jobsDir), s.syncDir("."))
}

func (s *Store) mkdir(name string) error {
	if err := s.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (s *Store) readID() (string, error) {
	b, err := s.root.ReadFile(idFile)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if !idForm.MatchString(id) {
		return "", fmt.Errorf("%s does not hold 32 hexadecimal digits", idFile)
	}
	return id, nil
}

// drawID gives the folder an id. Of several processes that do so at once one
// wins, because a link, unlike a rename, fails where its name is taken.
func (s *Store) drawID() (string, error) {
	f, name, err := s.createTemp()
	if err != nil {
		return "", err
	}
	defer func() { _ = s.root.Remove(name) }() // the sweep gets what stays
	var b [16]byte
	rand.Read(b[:])
	_, err = f.WriteString(hex.EncodeToString(b[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", idFile, err)
	}
	if err := s.root.Link(name, idFile); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return s.readID()
}

// createTemp makes a file of a name that nobody else has.
func (s *Store) createTemp() (*os.File, string, error) {
	var b [16]byte
	rand.Read(b[:])
	name := path.Join(tempDir, hex.EncodeToString(b[:]))
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, name, err
}

// otherDir holds jobs whose id does not end in two hexadecimal digits. An id of
// package job always does.
const otherDir = "other"

// file returns where a blob, or the folder of a prefix, is kept.
func file(name string) string {
	job, _, _ := strings.Cut(name, "/")
	return path.Join(jobsDir, fan(job), name)
}

func fan(job string) string {
	if len(job) < 2 {
		return otherDir
	}
	end := job[len(job)-2:]
	if strings.Trim(end, "0123456789abcdef") != "" {
		return otherDir
	}
	return end
}

// Create starts a blob.
func (s *Store) Create(ctx context.Context, name string) (blob.Writer, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("create blob %s: %w", name, context.Cause(ctx))
	}
	f, temp, err := s.createTemp()
	if err != nil {
		return nil, fmt.Errorf("create blob %s: %w", name, storeError(err))
	}
	return newWriter(ctx, s, name, temp, f), nil
}

// Open opens a committed blob. The Reader is an *os.File at heart, so the
// kernel can send it to a socket without a copy.
func (s *Store) Open(ctx context.Context, name string) (blob.Reader, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, context.Cause(ctx))
	}
	f, err := s.root.Open(file(name))
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, storeError(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("open blob %s: %w", name, err)
	case !info.Mode().IsRegular(): // the folder of a prefix
		f.Close()
		return nil, fmt.Errorf("open blob %s: %w", name, blob.ErrNotFound)
	}
	return &reader{f, info.Size()}, nil
}

type reader struct {
	*os.File
	size int64
}

func (r *reader) Size() int64 { return r.size }

// Delete removes every blob below a prefix.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("delete blobs %s/: %w", prefix, context.Cause(ctx))
	}
	dir := file(prefix)
	if info, err := s.root.Lstat(dir); err != nil || !info.IsDir() {
		return nil // nothing is below it
	}
	if err := s.root.RemoveAll(dir); err != nil {
		return fmt.Errorf("delete blobs %s/: %w", prefix, err)
	}
	if strings.Contains(prefix, "/") {
		_ = s.root.Remove(path.Dir(dir)) // the job's folder, if that was all in it
	}
	return nil
}

// Remove removes one blob, and the folders that it leaves empty.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("remove blob %s: %w", name, context.Cause(ctx))
	}
	at := file(name)
	if info, err := s.root.Lstat(at); err != nil || info.IsDir() {
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return fmt.Errorf("remove blob %s: %w", name, err)
	}
	if err := s.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove blob %s: %w", name, err)
	}
	for range strings.Count(name, "/") { // the last of them is the job's
		if at = path.Dir(at); s.root.Remove(at) != nil {
			break
		}
	}
	return nil
}

// Jobs yields the jobs all of whose files and folders are older than a time.
func (s *Store) Jobs(ctx context.Context, before time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		tree := s.root.FS()
		fans, err := fs.ReadDir(tree, jobsDir)
		if err != nil {
			yield("", fmt.Errorf("list blobs: %w", err))
			return
		}
		for _, fan := range fans {
			jobs, err := fs.ReadDir(tree, path.Join(jobsDir, fan.Name()))
			if err != nil && !yield("", fmt.Errorf("list blobs: %w", err)) {
				return
			}
			for _, job := range jobs {
				if ctx.Err() != nil {
					yield("", fmt.Errorf("list blobs: %w", context.Cause(ctx)))
					return
				}
				if olderThan(tree, path.Join(jobsDir, fan.Name(), job.Name()), before) &&
					!yield(job.Name(), nil) {
					return
				}
			}
		}
	}
}

// olderThan reports whether all of a tree was last changed before a time. What
// vanishes meanwhile doesn't count: somebody deletes it.
func olderThan(tree fs.FS, dir string, before time.Time) bool {
	older := true
	_ = fs.WalkDir(tree, dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && !info.ModTime().Before(before) {
			older = false
			return fs.SkipAll
		}
		return nil
	})
	return older
}

// SweepTemp removes temporary files last written before a time, which a killed
// process left behind, and returns how many it removed. Choose a time before
// which no upload that still lives can have written its last byte.
func (s *Store) SweepTemp(ctx context.Context, before time.Time) (removed int, err error) {
	files, err := fs.ReadDir(s.root.FS(), tempDir)
	if err != nil {
		return 0, fmt.Errorf("sweep temporary files: %w", err)
	}
	var errs []error
	for _, f := range files {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		info, err := f.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		switch err := s.root.Remove(path.Join(tempDir, f.Name())); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist): // another process sweeps too
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("sweep temporary files: %w", err)
	}
	return removed, nil
}

// syncDir makes a folder's entries durable. Some file systems can't sync a
// folder, and say so by EINVAL; those have nothing better to offer.
func (s *Store) syncDir(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) &&
		!errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// storeError puts an error of the file system into the words of package blob.
func storeError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	}
	return err
}
