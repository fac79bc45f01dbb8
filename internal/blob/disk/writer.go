package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"longshore/internal/blob"
)

const (
	// bufSize is the size of the pieces that small writes are gathered to.
	bufSize = 64 << 10
	// writebackSize is how much is written before the disk is set to work on it.
	writebackSize = 8 << 20
)

// A writer writes one blob. It digests the bytes as they pass: sha256 in a
// goroutine of its own was measured to be no faster, since the kernel's half of
// the work keeps the other core busy.
type writer struct {
	ctx    context.Context // of Create: it governs all of the writing
	store  *Store
	name   string
	temp   string // "" once renamed
	file   *os.File
	buf    *bufio.Writer
	digest *blob.Digest
	meter  *blob.Meter
	err    error // the first failure; later calls return it
	ended  bool

	written, handed int64 // bytes taken, and of them under way to the disk
}

func newWriter(ctx context.Context, s *Store, name, temp string, f *os.File) *writer {
	return &writer{
		ctx: ctx, store: s, name: name, temp: temp,
		file: f, buf: bufio.NewWriterSize(f, bufSize), digest: blob.NewDigest(), meter: s.floor.Meter(),
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	if err := w.meter.Take(len(p)); err != nil {
		w.err = fmt.Errorf("write blob %s: %w", w.name, err)
		return 0, w.err
	}
	n, err := w.buf.Write(p)
	_, _ = w.digest.Write(p[:n])
	w.written += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write blob %s: %w", w.name, storeError(err))
		return n, w.err
	}
	if flushed := w.written - int64(w.buf.Buffered()); flushed-w.handed >= writebackSize {
		startWriteback(w.file, w.handed, flushed-w.handed)
		w.handed = flushed
	}
	return n, nil
}

// usable returns the error of a writer that can't go on.
func (w *writer) usable(action string) error {
	switch {
	case w.err != nil:
	case w.ended:
		return fmt.Errorf("%s blob %s: %w", action, w.name, os.ErrClosed)
	case w.ctx.Err() != nil:
		w.err = fmt.Errorf("%s blob %s: %w", action, w.name, context.Cause(w.ctx))
	}
	return w.err
}

// Commit makes the blob durable and visible.
func (w *writer) Commit() (blob.Info, error) {
	defer func() { _ = w.Abort() }() // after success it has nothing left to do
	if err := w.usable("commit"); err != nil {
		return blob.Info{}, err
	}
	if err := w.finish(); err != nil {
		w.err = fmt.Errorf("commit blob %s: %w", w.name, storeError(err))
		return blob.Info{}, w.err
	}
	return w.digest.Info(), nil
}

// finish syncs the file, gives it its name, and syncs the folders that name it.
func (w *writer) finish() error {
	if err := errors.Join(w.buf.Flush(), w.file.Sync(), w.file.Close()); err != nil {
		return err
	}
	target := file(w.name)
	dir := path.Dir(target)
	if err := w.store.rename(w.temp, dir, target); err != nil {
		return err
	}
	w.temp = ""
	if err := w.store.syncUp(dir); err != nil {
		return errors.Join(err, w.store.root.Remove(target))
	}
	return nil
}

// syncUp makes a blob's folders durable, up to the fan folder, which was synced
// when it was made.
func (s *Store) syncUp(dir string) error {
	for ; dir != jobsDir; dir = path.Dir(dir) {
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// rename brings the file into the job's folder. A Delete of another attempt's
// blobs may remove that folder, empty as it is, at this very moment.
func (s *Store) rename(temp, dir, target string) (err error) {
	for range 3 {
		if err = s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err = s.root.Rename(temp, target); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// Abort throws away what was written.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.meter.End()
	w.file.Close() // Commit has done so if it got there
	if w.temp == "" {
		return nil
	}
	if err := w.store.root.Remove(w.temp); err != nil {
		return fmt.Errorf("abort blob %s: %w", w.name, err)
	}
	return nil
}
