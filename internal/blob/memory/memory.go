// Package memory keeps blobs in memory, for tests of what stands on the seam.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"longshore/internal/blob"
)

// A Store keeps blobs as long as it lives. Make it with New.
type Store struct {
	mu    sync.Mutex
	blobs map[string]entry
}

type entry struct {
	data []byte // never changed
	at   time.Time
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{blobs: make(map[string]entry)} }

// Create starts a blob.
func (s *Store) Create(ctx context.Context, name string) (blob.Writer, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("create blob %s: %w", name, context.Cause(ctx))
	}
	return &writer{ctx: ctx, store: s, name: name, digest: blob.NewDigest()}, nil
}

// Open opens a committed blob.
func (s *Store) Open(ctx context.Context, name string) (blob.Reader, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.blobs[name]
	if !ok {
		return nil, fmt.Errorf("open blob %s: %w", name, blob.ErrNotFound)
	}
	return reader{bytes.NewReader(e.data)}, nil
}

// Delete removes every blob below a prefix.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("delete blobs %s/: %w", prefix, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.blobs, func(name string, _ entry) bool { return strings.HasPrefix(name, prefix+"/") })
	return nil
}

// Remove removes one blob.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("remove blob %s: %w", name, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, name)
	return nil
}

// Jobs yields the jobs whose blobs were all written before a time.
func (s *Store) Jobs(ctx context.Context, before time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if ctx.Err() != nil {
			yield("", fmt.Errorf("list blobs: %w", context.Cause(ctx)))
			return
		}
		for job, newest := range s.newest() {
			if newest.Before(before) && !yield(job, nil) {
				return
			}
		}
	}
}

// newest returns each job with the time of its newest blob.
func (s *Store) newest() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make(map[string]time.Time)
	for name, e := range s.blobs {
		job, _, _ := strings.Cut(name, "/")
		if e.at.After(jobs[job]) {
			jobs[job] = e.at
		}
	}
	return jobs
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

type writer struct {
	ctx    context.Context // of Create: it governs all of the writing
	store  *Store
	name   string
	data   bytes.Buffer
	digest *blob.Digest
	ended  bool
}

func (w *writer) usable(action string) error {
	switch {
	case w.ended:
		return fmt.Errorf("%s blob %s: %w", action, w.name, os.ErrClosed)
	case w.ctx.Err() != nil:
		return fmt.Errorf("%s blob %s: %w", action, w.name, context.Cause(w.ctx))
	}
	return nil
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	_, _ = w.digest.Write(p)
	return w.data.Write(p)
}

func (w *writer) Commit() (blob.Info, error) {
	defer func() { w.ended = true }()
	if err := w.usable("commit"); err != nil {
		return blob.Info{}, err
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.blobs[w.name] = entry{data: w.data.Bytes(), at: time.Now()}
	return w.digest.Info(), nil
}

func (w *writer) Abort() error {
	w.ended = true
	return nil
}
