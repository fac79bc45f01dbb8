package bucket_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket/buckettest"
)

// TestNoSpace fills the server's disk.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=14m"); err != nil {
		t.Skip("needs leave to mount a small file system:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) }) // after the server's end
	server := buckettest.StartIn(t, folder)
	s := open(t, server.URL("p"))
	blobtest.Put(t, s, "a0/first", "still here")
	for _, size := range []int{12 << 20, 30 << 20} { // the second is full with its third part
		if size < 14<<20 { // less room: put it there
			blobtest.Put(t, s, "b0/in", string(noise(4<<20)))
		}
		w, err := s.Create(t.Context(), "a0/in")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, bytes.NewReader(noise(size)))
		if err == nil {
			_, err = w.Commit()
		}
		if !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("%d bytes: %v, want ErrNoSpace", size, err)
		}
		if err := w.Abort(); err != nil {
			t.Errorf("Abort = %v", err)
		}
		blobtest.Missing(t, s, "a0/in")
		if err := s.Delete(t.Context(), "b0"); err != nil {
			t.Fatal(err)
		}
		clean(t, server, "p", "jobs/a0/first")
	}
	blobtest.Put(t, s, "a0/in", string(noise(1<<20)))
	if blobtest.Get(t, s, "a0/first") != "still here" {
		t.Error("another blob was hurt")
	}
}
