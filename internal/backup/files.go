package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"longshore/internal/blob"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A file is a line of part files.
type file struct {
	Job  job.ID `json:"job,omitempty"` // none of a function
	Blob string `json:"blob"`          // its name where it is restored
	// From is its name in the place of both installations, where it is not copied into the backup.
	From   string `json:"from,omitempty"`
	File   string `json:"file,omitempty"` // in the folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	Gone   bool   `json:"gone,omitempty"`    // the job has ended meanwhile, and isn't restored
	Letter string `json:"letter,omitempty"`  // how: jobstore.Letters
	Lacks  bool   `json:"missing,omitempty"` // it is not where it should be: the job goes along without it

	ended bool // its job had ended when it was read: nothing is decided by what is missing of it
}

// filesFolder has copied files.
const filesFolder = "files"

// atOnce is how many files are copied at a time, or jobs told what they are after.
const atOnce = 8

// A crew does something with files, or with jobs, some at a time. The first error ends it.
type crew[T any] struct {
	tasks  chan T
	wait   sync.WaitGroup
	cancel context.CancelCauseFunc
	ctx    context.Context //nolint:containedctx // of its goroutines, which end with it
}

func newCrew[T any](ctx context.Context, do func(context.Context, T) error) *crew[T] {
	tasks := make(chan T, 4*atOnce)
	c := &crew[T]{tasks: tasks}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	for range atOnce {
		c.wait.Go(func() {
			for task := range tasks {
				if c.ctx.Err() != nil {
					continue
				}
				if err := do(c.ctx, task); err != nil {
					c.cancel(err)
				}
			}
		})
	}
	return c
}

func (c *crew[T]) add(task T) error {
	select {
	case c.tasks <- task:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// end waits until all is done. It may be called again.
func (c *crew[T]) end() error {
	if c.tasks != nil {
		close(c.tasks)
		c.tasks = nil
	}
	c.wait.Wait()
	err := context.Cause(c.ctx)
	c.cancel(nil)
	return err
}

// A copying copies files into a backup, while its jobs are written.
type copying struct {
	store *jobstore.Store
	blobs blob.Store
	dir   string
	crew  *crew[file]

	mu     sync.Mutex
	lines  *writer
	gone   map[job.ID]string // letters of jobs that have ended meanwhile
	n      int64
	counts *Counts
}

func (w *copying) copy(ctx context.Context, f file) error {
	from := f.From
	if f.File != "" {
		f.From = ""
		switch err := w.take(ctx, from, &f); {
		case errors.Is(err, blob.ErrNotFound):
			if f.Lacks, f.File = true, ""; f.Job != "" {
				letter, err := w.store.Letters(ctx, []job.ID{f.Job})
				if err != nil {
					return err
				}
				if f.Gone = !f.ended && letter != "-"; f.Gone {
					f.Letter = letter
				}
			}
		case err != nil:
			return fmt.Errorf("copy %s: %w", from, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case f.Gone:
		w.gone[f.Job] = f.Letter
	case f.Lacks:
		w.counts.Missing++
	default:
		w.counts.Files++
		w.counts.Bytes += f.Size
	}
	return w.lines.line(f)
}

// take copies one blob.
func (w *copying) take(ctx context.Context, from string, f *file) error {
	r, err := w.blobs.Open(ctx, from)
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := os.OpenFile(filepath.Join(w.dir, f.File), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), r)
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// name draws the next name of a copied file.
func (w *copying) name() string {
	w.n++
	return filesFolder + "/" + strconv.FormatInt(w.n, 10)
}

// verify compares a copied file with what its line says of it.
func (f *file) verify(dir string) error {
	sum, n, err := hashOf(filepath.Join(dir, f.File))
	if errors.Is(err, os.ErrNotExist) || err == nil && n < f.Size {
		return fmt.Errorf("%w: %s is missing, or cut short", ErrChanged, f.File)
	}
	if err == nil && (n != f.Size || sum != f.SHA256) {
		err = fmt.Errorf("%w: %s is not as it was written", ErrChanged, f.File)
	}
	return err
}

// bring puts a file of a backup where its job looks for it, unless it is there.
func bring(ctx context.Context, blobs blob.Store, dir string, f file) error {
	if there, err := blobs.Open(ctx, f.Blob); err == nil {
		size := there.Size()
		if err := there.Close(); err != nil {
			return err
		}
		if size == f.Size {
			return nil
		}
	} else if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	var from io.ReadCloser
	var err error
	if f.File != "" {
		from, err = os.Open(filepath.Join(dir, f.File))
	} else {
		from, err = blobs.Open(ctx, f.From)
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := blobs.Create(ctx, f.Blob)
	if err != nil {
		return err
	}
	defer to.Abort()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), from)
	if err != nil {
		return err
	}
	if n != f.Size || f.SHA256 != "" && hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%w: the file of %s is not as it was", ErrChanged, f.Blob)
	}
	_, err = to.Commit()
	return err
}
