package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/disk"
)

func open(t *testing.T, folder string) *disk.Store {
	t.Helper()
	s, err := disk.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
	blobtest.RunPieces(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

// files returns the paths of all regular files below a folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(folder, p)
			found = append(found, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLayout(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new", "blobs")
	s := open(t, folder)
	blobtest.Put(t, s, "0193d3a0-0000-7000-8000-0000000000c7/in", "x")
	got := files(t, folder)
	want := []string{"jobs/c7/0193d3a0-0000-7000-8000-0000000000c7/in", "store-id"}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("files: %v, want %v", got, want)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, want[0]: 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	id := blobtest.OneID(t, func() (*disk.Store, error) { return disk.Open(folder) })
	if other := open(t, t.TempDir()); other.ID() == id {
		t.Error("two folders have one id")
	}
	if err := os.WriteFile(filepath.Join(folder, "store-id"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := disk.Open(folder); err == nil {
		s.Close()
		t.Error("a folder with a damaged id opened")
	}
}

func TestOpenFolderThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(file); err == nil {
		t.Error("a file opened as a folder")
	}
}

func TestLinkOutIsRefused(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	s := open(t, folder)
	blobtest.Put(t, s, "a0/in", "x")
	if err := os.Symlink(secret, filepath.Join(folder, "jobs/a0/a0/link")); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Open(t.Context(), "a0/link"); err == nil {
		r.Close()
		t.Error("a link led out of the folder")
	}
}

func TestSweepTemp(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder)
	w, err := s.Create(t.Context(), "a0/in") // as a killed process leaves it
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	io.WriteString(w, "x")
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("sweep of older ones = %d, %v", n, err)
	}
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("sweep = %d, %v, want 1", n, err)
	}
	if got := files(t, folder); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder)
	w, err := s.Create(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "x")
	// A folder stands where the blob should go.
	if err := os.MkdirAll(filepath.Join(folder, "jobs/a0/a0/in"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err == nil {
		t.Error("Commit onto a folder succeeded")
	}
	if got := files(t, folder); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

// TestNoSpace fills a file system of its own.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	if err := mountSmall(folder); err != nil {
		t.Skip("needs leave to mount a small file system:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, 0) })
	s := open(t, folder)
	blobtest.Put(t, s, "a0/first", "still here")
	// Full at a Write, and full only at Commit, when the last bytes are flushed.
	for _, pieces := range [][]int{{8 << 20, 1}, {4<<20 - 3*4096, 20_000}} {
		w, err := s.Create(t.Context(), "a0/in")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range pieces {
			if _, err := w.Write(make([]byte, n)); err != nil && !errors.Is(err, blob.ErrNoSpace) {
				t.Errorf("Write = %v, want ErrNoSpace", err)
			}
		}
		if info, err := w.Commit(); !errors.Is(err, blob.ErrNoSpace) || info != (blob.Info{}) {
			t.Errorf("Commit of %v = %v, want ErrNoSpace", pieces, err)
		}
		if err := w.Abort(); err != nil {
			t.Errorf("Abort = %v", err)
		}
		blobtest.Missing(t, s, "a0/in")
		if got := files(t, folder); len(got) != 2 {
			t.Errorf("left: %v", got)
		}
	}
	// With the space free again all goes on.
	blobtest.Put(t, s, "a0/in", string(make([]byte, 1<<20)))
	if blobtest.Get(t, s, "a0/first") != "still here" {
		t.Error("another blob was hurt")
	}
	s.Close()
}

func TestSpace(t *testing.T) {
	t.Parallel()
	s, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	free, total, err := s.Space(t.Context())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || free < 0 || total <= 0 || free > total {
		t.Errorf("space: %d of %d, %v", free, total, err)
	}
}
