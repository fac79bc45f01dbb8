package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/backup"
	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func place(t *testing.T) connect.Config {
	t.Helper()
	return connect.Config{RedisURL: redistest.New(t).URL(), BlobURL: "file://" + t.TempDir()}
}

func open(t *testing.T, c connect.Config) *connect.System {
	t.Helper()
	sys, err := connect.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys
}

func draw(kind string) jobstore.NewJob {
	return jobstore.NewJob{ID: job.NewID(time.Now()), Type: kind, Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour}
}

func create(t *testing.T, sys *connect.System, n jobstore.NewJob) job.ID {
	t.Helper()
	make := sys.Store.Create
	if n.Type == job.BatchType {
		make = sys.Store.OpenBatch
	}
	if _, err := make(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n.ID
}

// withInput gives a job a file.
func withInput(t *testing.T, sys *connect.System, n jobstore.NewJob, text string) jobstore.NewJob {
	t.Helper()
	name := jobstore.Folder(n.ID) + "/in"
	to, err := sys.Blobs.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Commit(); err != nil {
		t.Fatal(err)
	}
	n.Spec.Input = &jobstore.Input{Blob: name, Size: int64(len(text)), SHA256: strings.Repeat("0", 64)}
	return n
}

// end takes a job of a type and ends it.
func end(ctx context.Context, t *testing.T, sys *connect.System, kind string) {
	t.Helper()
	claims, _, err := sys.Store.NewClaimer([]string{kind}).Claim(ctx, job.Place{Lane: job.LaneIO,
		Priority: job.Default}, 0, 10)
	if err != nil || len(claims) != 1 {
		t.Errorf("claimed %d, %v", len(claims), err)
		return
	}
	if _, err := sys.Store.Finish(ctx, claims[0].Ticket.ID, claims[0].Fence,
		jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
		t.Error(err)
	}
}

// before calls f before a blob is opened for the first time.
type before struct {
	blob.Store

	once *sync.Once
	f    func(ctx context.Context, name string)
}

func (b before) Open(ctx context.Context, name string) (blob.Reader, error) {
	b.once.Do(func() { b.f(ctx, name) })
	return b.Store.Open(ctx, name)
}

// TestEndsMeanwhile has a job end between its turn and that of its file, which went: it isn't restored, but
// who is after it goes on, and its batch counts it.
func TestEndsMeanwhile(t *testing.T) {
	t.Parallel()
	sys, there, dir := open(t, place(t)), place(t), filepath.Join(t.TempDir(), "backup")
	b := draw(job.BatchType)
	b.ExpiresIn, b.Name = time.Hour, "b"
	create(t, sys, b)
	ends := withInput(t, sys, draw("test.ends"), "some text")
	ends.Batch, ends.DeleteInput = b.ID, job.DeleteAtEnd
	create(t, sys, ends)
	stays, after := draw("test.stays"), draw("test.after")
	stays.Batch, after.After = b.ID, []job.ID{ends.ID}
	create(t, sys, stays)
	create(t, sys, after)
	if _, err := sys.Store.Views().CloseBatch(t.Context(), access.Everything, b.ID, ""); err != nil {
		t.Fatal(err)
	}
	files := sys.Blobs
	sys.Blobs = before{files, new(sync.Once), func(ctx context.Context, name string) {
		end(ctx, t, sys, "test.ends")
		if err := files.Remove(ctx, name); err != nil {
			t.Error(err)
		}
	}}
	if _, err := backup.Write(t.Context(), sys, dir, backup.ByCopy); err != nil {
		t.Fatal(err)
	}
	done, err := backup.Restore(t.Context(), there, dir)
	if err != nil || done.Ended != 1 || done.Made != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	to := open(t, there)
	if snap, err := to.Store.Get(t.Context(), after.ID); err != nil || snap.State != job.Queued {
		t.Errorf("who is after it is %s, %v", snap.State, err)
	}
	end(t.Context(), t, to, "test.stays")
	snap, err := to.Store.Get(t.Context(), b.ID)
	if err != nil || snap.State != job.Succeeded || snap.Jobs == nil || snap.Jobs.Total != 2 {
		t.Errorf("the batch is %s: %+v, %v", snap.State, snap.Jobs, err)
	}
}

// TestDamagedFile refuses a copied file that was changed before anything is written.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	sys, there, dir := open(t, place(t)), place(t), filepath.Join(t.TempDir(), "backup")
	create(t, sys, withInput(t, sys, draw("test.job"), "some text"))
	if _, err := backup.Write(t.Context(), sys, dir, backup.ByCopy); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"some teXt", "some", "some text and more"} {
		if err := os.WriteFile(filepath.Join(dir, "files", "1"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Restore(t.Context(), there, dir); !errors.Is(err, backup.ErrChanged) {
			t.Errorf("%q: %v", text, err)
		}
		if n := redistest.ClientOf(t, there.RedisURL).DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%q: %d keys were written", text, n)
		}
	}
}

// TestErasedInput doesn't miss a file that was erased on purpose.
func TestErasedInput(t *testing.T) {
	t.Parallel()
	sys, there, dir := open(t, place(t)), place(t), filepath.Join(t.TempDir(), "backup")
	b := draw(job.BatchType)
	b.ExpiresIn, b.Name = time.Hour, "b"
	create(t, sys, b)
	n := withInput(t, sys, draw("test.job"), "some text")
	n.Batch, n.DeleteInput = b.ID, job.DeleteAtEnd
	create(t, sys, n)
	end(t.Context(), t, sys, "test.job")
	if err := sys.Blobs.Remove(t.Context(), n.Spec.Input.Blob); err != nil {
		t.Fatal(err)
	}
	if err := sys.Store.InputErased(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	m, err := backup.Write(t.Context(), sys, dir, backup.ByCopy)
	if err != nil || m.Counts.Jobs != 2 || m.Counts.Missing != 0 {
		t.Fatalf("%+v, %v", m.Counts, err)
	}
	if _, err := backup.Restore(t.Context(), there, dir); err != nil {
		t.Fatal(err)
	}
	snap, err := open(t, there).Store.Get(t.Context(), n.ID)
	if err != nil || snap.InputDeletedAt == nil {
		t.Errorf("%+v, %v", snap, err)
	}
}
