package wasm

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/job"
)

// nothing is a module that does nothing; more of it may follow.
const nothing = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00" +
	"\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"

// version is that module with a section whose name tells it from others.
func version(n int) string { return nothing + "\x00\x07\x05" + fmt.Sprintf("%05d", n) + "." }

// TestManyVersions deploys 300 versions one after the other, each with some jobs: neither the
// child's memory grows with them, nor what is kept on disk.
func TestManyVersions(t *testing.T) {
	t.Parallel()
	const versions, runs = 300, 5
	folder, cache := t.TempDir(), t.TempDir()
	h := &functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 1}, Memory: 512 << 20, MaxOutput: 64 << 20,
		KillGrace: time.Second, Base: t.TempDir(), Log: slog.New(slog.DiscardHandler), Getenv: os.Getenv}
	pool := NewPool(cache, folder)
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	kept := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(cache, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	var peaks []int64
	var last functions.Executor
	for n := range versions {
		path := filepath.Join(folder, fmt.Sprint(n), "function.wasm")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(version(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		f := &functions.Function{Type: "test.wasm", Folder: filepath.Dir(path), Command: []string{path},
			Digest: fmt.Sprint(n), Manifest: functions.Manifest{Mode: functions.WASM,
				Output: functions.Output{As: functions.OutputAuto}}}
		e, err := pool.Open(f, h)
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			if err := last.Close(); err != nil {
				t.Fatal(err)
			}
		}
		last = e
		if got := kept(); got != 1 {
			t.Fatalf("%d versions are kept compiled after version %d", got, n)
		}
		for range runs {
			peaks = append(peaks, once(t, e, h))
		}
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if got := kept(); got != 0 {
		t.Errorf("%d versions are kept compiled in the end", got)
	}
	early, late := peaks[len(peaks)/3], peaks[len(peaks)-1]
	if late > early+16<<20 {
		t.Errorf("the child has %d bytes after a third of all versions, %d in the end", early, late)
	}
	t.Logf("the child has %d bytes after a third of all versions, %d in the end", early, late)
}

// once does a job, and returns what its child had resident.
func once(t *testing.T, e functions.Executor, h *functions.Host) int64 {
	t.Helper()
	folder, err := os.MkdirTemp(h.Base, "job-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	files := &memoryFiles{outputs: map[string]string{}}
	o := e.Run(t.Context(), &functions.Attempt{Folder: folder, Payload: []byte("{}"),
		Deadline: time.Now().Add(10 * time.Minute),
		Run:      &handlers.Run{ID: "job-1", Type: "test.wasm", Attempt: 1, Files: files}})
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	return o.Usage.PeakRSSBytes
}
