package janitor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/memory"
	"longshore/job"
)

// TestForget holds that a sweep never waits for the blob store.
func TestForget(t *testing.T) {
	t.Parallel()
	j := &Janitor{gone: make(chan job.ID, 1), looks: make(chan job.ID, 1)}
	first := j.forget(t.Context(), "a")
	if second := j.forget(t.Context(), "b"); first != nil || !errors.Is(second, errGoneFull) {
		t.Errorf("forget = %v, %v", first, second)
	}
	first = j.lookAfter(t.Context(), "a")
	if second := j.lookAfter(t.Context(), "b"); first != nil || !errors.Is(second, errLooksFull) {
		t.Errorf("lookAfter = %v, %v", first, second)
	}
}

// fileStore is what a Janitor wants of a blob store, in memory.
type fileStore struct{ *memory.Store }

func (fileStore) ID() string                                        { return "files" }
func (fileStore) SweepTemp(context.Context, time.Time) (int, error) { return 0, nil }

// TestGoneFilesGo holds that the files of a removed job are deleted soon, those that wait at the
// end too, and nobody else's.
func TestGoneFilesGo(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"while it runs": false, "at its end": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				files := fileStore{memory.New()}
				j := &Janitor{gone: make(chan job.ID, maxGone), blobs: files,
					log: slog.New(slog.DiscardHandler)}
				for _, name := range []string{"3-a/in", "3-b/in", "3-b/f/out", "3-c/in", "b/in"} {
					blobtest.Put(t, files, name, name)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if late {
					cancel()
				}
				// More than are taken by chance once ctx has ended come before.
				for _, id := range append(slices.Repeat([]job.ID{"x"}, 500), "a", "b") {
					if err := j.forget(ctx, id); err != nil {
						t.Fatal(err)
					}
				}
				ended := make(chan error, 1)
				go func() { ended <- j.deleteGone(ctx) }()
				synctest.Wait()
				for _, name := range []string{"3-a/in", "3-b/in", "3-b/f/out"} {
					blobtest.Missing(t, files, name)
				}
				blobtest.Get(t, files, "3-c/in")
				blobtest.Get(t, files, "b/in")
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
