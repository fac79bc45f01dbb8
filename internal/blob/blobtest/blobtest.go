// Package blobtest is the conformance suite of the blob seam. Every store runs
// it, the one in memory too.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/blob"
)

// Run tests a kind of store; open returns an empty one of its own for each test.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"Info", testInfo},
		{"Seek", testSeek},
		{"NotFound", testNotFound},
		{"VisibleAtCommit", testVisibleAtCommit},
		{"Abort", testAbort},
		{"Replace", testReplace},
		{"Canceled", testCanceled},
		{"Delete", testDelete},
		{"Remove", testRemove},
		{"Jobs", testJobs},
		{"DeleteWhileListing", testDeleteWhileListing},
		{"Names", testNames},
		{"Concurrent", testConcurrent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open(t))
		})
	}
}

// Put writes one blob, and fails the test if that fails.
func Put(t testing.TB, s blob.Store, name, content string) blob.Info {
	t.Helper()
	info, err := put(t.Context(), s, name, content)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return info
}

func put(ctx context.Context, s blob.Store, name, content string) (blob.Info, error) {
	w, err := s.Create(ctx, name)
	if err != nil {
		return blob.Info{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, strings.NewReader(content)); err != nil {
		return blob.Info{}, err
	}
	return w.Commit()
}

// Get reads one blob, and fails the test if that fails.
func Get(t testing.TB, s blob.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	if r.Size() != int64(len(b)) {
		t.Errorf("%s: Size() = %d, read %d bytes", name, r.Size(), len(b))
	}
	return string(b)
}

// Missing fails the test if a blob is there.
func Missing(t testing.TB, s blob.Store, name string) {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("open %s = %v, want ErrNotFound", name, err)
	}
}

func write(t testing.TB, w io.Writer, content string) {
	t.Helper()
	if n, err := io.WriteString(w, content); n != len(content) || err != nil {
		t.Fatalf("write = %d, %v", n, err)
	}
}

// noise returns n bytes that are the same on each run.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return string(b)
}

func testRoundTrip(t *testing.T, s blob.Store) {
	// Sizes around the buffers that a store may use.
	for _, n := range []int{0, 1, 511, 512, 513, 64<<10 - 1, 64 << 10, 64<<10 + 1, 9<<20 + 7} {
		name, want := fmt.Sprintf("a0/%d", n), noise(n)
		info := Put(t, s, name, want)
		if info.Size != int64(n) {
			t.Errorf("%d bytes: Size = %d", n, info.Size)
		}
		if Get(t, s, name) != want {
			t.Errorf("%d bytes came back changed", n)
		}
	}
	// Uneven pieces, through one array that changes after each Write.
	want := noise(300_000)
	w, err := s.Create(t.Context(), "a0/pieces")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	piece := make([]byte, 70_001)
	for rest, n := want, 1; len(rest) > 0; n = n*3 + 1 {
		k := copy(piece[:min(n, len(piece))], rest)
		if got, err := w.Write(piece[:k]); got != k || err != nil {
			t.Fatalf("Write = %d, %v, want %d", got, err, k)
		}
		rest = rest[k:]
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(want)); info.SHA256 != hex.EncodeToString(sum[:]) {
		t.Error("wrong sha256 of pieces")
	}
	if Get(t, s, "a0/pieces") != want {
		t.Error("pieces came back changed")
	}
}

func testInfo(t *testing.T, s blob.Store) {
	tests := []struct{ content, sha256, contentType string }{
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "text/plain; charset=utf-8"},
		// FIPS 180-4
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			"text/plain; charset=utf-8"},
		{"\x1f\x8b\x08\x00", "", "application/x-gzip"},
		{"<html><script>", "", "text/html; charset=utf-8"},
		{"\x00\x01", "", "application/octet-stream"},
	}
	for _, tt := range tests {
		info := Put(t, s, "a0/in", tt.content)
		if tt.sha256 != "" && info.SHA256 != tt.sha256 {
			t.Errorf("%q: SHA256 = %s, want %s", tt.content, info.SHA256, tt.sha256)
		}
		if info.ContentType != tt.contentType {
			t.Errorf("%q: ContentType = %s, want %s", tt.content, info.ContentType, tt.contentType)
		}
	}
}

func testSeek(t *testing.T, s blob.Store) {
	Put(t, s, "a0/in", "0123456789")
	r, err := s.Open(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct {
		offset int64
		whence int
		want   string
	}{{4, io.SeekStart, "456789"}, {-2, io.SeekEnd, "89"}, {0, io.SeekStart, "0123456789"},
		{0, io.SeekEnd, ""}} {
		if _, err := r.Seek(tt.offset, tt.whence); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != tt.want {
			t.Errorf("read at %d from %d = %q, %v, want %q", tt.offset, tt.whence, b, err, tt.want)
		}
	}
}

func testNotFound(t *testing.T, s blob.Store) {
	Missing(t, s, "a0/in")
	Put(t, s, "a0/f/out", "x")
	for _, name := range []string{"a0/in", "a0/f", "a0/f/out/x", "a0/f/ou", "a1/f/out"} {
		Missing(t, s, name)
	}
}

func testVisibleAtCommit(t *testing.T, s blob.Store) {
	w, err := s.Create(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	write(t, w, noise(1<<20))
	Missing(t, s, "a0/in")
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if len(Get(t, s, "a0/in")) != 1<<20 {
		t.Error("not whole")
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit = %v", err)
	}
	Get(t, s, "a0/in")
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Commit succeeded")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("second Commit succeeded")
	}
}

func testAbort(t *testing.T, s blob.Store) {
	for _, n := range []int{0, 10, 1 << 20, 11 << 20} {
		w, err := s.Create(t.Context(), "a0/in")
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, noise(n))
		for range 2 {
			if err := w.Abort(); err != nil {
				t.Errorf("Abort = %v", err)
			}
		}
		if _, err := w.Commit(); err == nil {
			t.Error("Commit after Abort succeeded")
		}
		Missing(t, s, "a0/in")
	}
	if jobs := list(t, s, time.Now().Add(time.Hour)); len(jobs) != 0 {
		t.Errorf("aborted blobs are listed: %v", jobs)
	}
}

func testReplace(t *testing.T, s blob.Store) {
	Put(t, s, "a0/in", "a long first one")
	w, err := s.Create(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	write(t, w, "second")
	if got := Get(t, s, "a0/in"); got != "a long first one" {
		t.Errorf("before Commit: %q", got)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, s, "a0/in"); got != "second" {
		t.Errorf("after Commit: %q", got)
	}
}

func testCanceled(t *testing.T, s blob.Store) {
	cause := errors.New("the client went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	w, err := s.Create(ctx, "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	write(t, w, noise(1<<20))
	cancel(cause)
	if _, err := io.WriteString(w, noise(1<<20)); !errors.Is(err, cause) {
		t.Errorf("Write = %v, want the cause", err)
	}
	if _, err := w.Commit(); !errors.Is(err, cause) {
		t.Errorf("Commit = %v, want the cause", err)
	}
	Missing(t, s, "a0/in")
	if _, err := s.Create(ctx, "a0/in"); !errors.Is(err, cause) {
		t.Errorf("Create = %v, want the cause", err)
	}
	if _, err := s.Open(ctx, "a0/in"); !errors.Is(err, cause) {
		t.Errorf("Open = %v, want the cause", err)
	}
	if err := s.Delete(ctx, "a0"); !errors.Is(err, cause) {
		t.Errorf("Delete = %v, want the cause", err)
	}
	if err := s.Remove(ctx, "a0/in"); !errors.Is(err, cause) {
		t.Errorf("Remove = %v, want the cause", err)
	}
}

func testDelete(t *testing.T, s blob.Store) {
	names := []string{"a0/in", "a0/f1/out", "a0/f1/sub/out", "a0/f10/out", "a01/in"}
	for _, name := range names {
		Put(t, s, name, name)
	}
	left := func(want ...string) {
		t.Helper()
		for _, name := range names {
			if slices.Contains(want, name) {
				Get(t, s, name)
			} else {
				Missing(t, s, name)
			}
		}
	}
	remove := func(prefix string) {
		t.Helper()
		if err := s.Delete(t.Context(), prefix); err != nil {
			t.Errorf("Delete(%s) = %v", prefix, err)
		}
	}
	remove("a0/f1")
	left("a0/in", "a0/f10/out", "a01/in")
	remove("a0/in") // a blob, not a prefix of one
	left("a0/in", "a0/f10/out", "a01/in")
	remove("a0")
	left("a01/in")
	remove("a0") // none there is no error
	remove("b7/x/y")
	Put(t, s, "a0/in", "again")
	left("a0/in", "a01/in")
}

func testRemove(t *testing.T, s blob.Store) {
	for _, name := range []string{"a0/in", "a0/f1/in", "a0/f2/in", "a0/f2/out"} {
		Put(t, s, name, name)
	}
	for range 2 { // none there is no error
		for _, name := range []string{"a0/f2", "a0/f1/in", "a0/in", "a0/in/more", "b7/x/y"} { // the first is no blob
			if err := s.Remove(t.Context(), name); err != nil {
				t.Errorf("Remove(%s) = %v", name, err)
			}
		}
	}
	Missing(t, s, "a0/in")
	Missing(t, s, "a0/f1/in")
	Get(t, s, "a0/f2/in")
	Get(t, s, "a0/f2/out")
	if err := s.Remove(t.Context(), "a0"); !errors.Is(err, blob.ErrBadName) {
		t.Errorf("Remove(a0) = %v, want ErrBadName", err)
	}
	Put(t, s, "a0/f1/in", "again")
	Get(t, s, "a0/f1/in")
}

func list(t *testing.T, s blob.Store, before time.Time) []string {
	t.Helper()
	var jobs []string
	for job, err := range s.Jobs(t.Context(), before) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	slices.Sort(jobs)
	return jobs
}

func testJobs(t *testing.T, s blob.Store) {
	for _, name := range []string{"a0/in", "a0/f/out", "b7/in", "zz/in", "x/in"} {
		Put(t, s, name, "")
	}
	if got := list(t, s, time.Now().Add(time.Hour)); !slices.Equal(got, []string{"a0", "b7", "x", "zz"}) {
		t.Errorf("jobs before the next hour: %v", got)
	}
	if got := list(t, s, time.Now().Add(-time.Hour)); len(got) != 0 {
		t.Errorf("jobs before the last hour: %v", got)
	}
	for _, err := range s.Jobs(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Error(err)
		}
		break // an early end is fine
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.Jobs(ctx, time.Now()) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("Jobs with a canceled context ended with %v", last)
	}
}

func testDeleteWhileListing(t *testing.T, s blob.Store) {
	for i := range 100 {
		Put(t, s, fmt.Sprintf("%02xa0/in", i), "")
	}
	for job, err := range s.Jobs(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, s, time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

func testNames(t *testing.T, s blob.Store) {
	for _, name := range []string{"a0/in", "a0/Übersicht 2024 (1).csv", "..a/...", "a../x", "-/-",
		"a0/" + strings.Repeat("n", 255)} {
		Put(t, s, name, name)
		if Get(t, s, name) != name {
			t.Errorf("%s came back changed", name)
		}
	}
	for _, name := range BadNames {
		_, createErr := s.Create(t.Context(), name)
		_, openErr := s.Open(t.Context(), name)
		if !errors.Is(createErr, blob.ErrBadName) || !errors.Is(openErr, blob.ErrBadName) {
			t.Errorf("%q: Create = %v, Open = %v, want ErrBadName", name, createErr, openErr)
		}
		if err := s.Delete(t.Context(), name+"/"); !errors.Is(err, blob.ErrBadName) {
			t.Errorf("Delete(%q) = %v, want ErrBadName", name+"/", err)
		}
	}
	for _, prefix := range []string{"", ".", "..", "/", "a/..", "../a"} {
		if err := s.Delete(t.Context(), prefix); !errors.Is(err, blob.ErrBadName) {
			t.Errorf("Delete(%q) = %v, want ErrBadName", prefix, err)
		}
	}
}

// BadNames are names that no store takes.
var BadNames = []string{
	"", "a", "/", "a/", "/a", "/etc/passwd", "a//b", "a/.", "./a", "..", "../a", "a/..", "a/../b",
	"a/b/../../..",
	"a/\x00", "a/b\nc", "a/b\r", "a/\x7f", "a/\u0085", `a\b/c`, `a/..\b`, "a/\xff",
	"a/" + strings.Repeat("n", 256), strings.Repeat("nn/", 400) + "n",
}

func testConcurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			// One name for all: the last Commit wins, whole.
			content := strings.Repeat(string(rune('a'+i)), 100_000)
			if _, err := put(t.Context(), s, "a0/shared", content); err != nil {
				t.Error(err)
			}
			name := fmt.Sprintf("a0/f%d/out", i)
			if _, err := put(t.Context(), s, name, content); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if got := Get(t, s, fmt.Sprintf("a0/f%d/out", i)); got[0] != byte('a'+i) || len(got) != 100_000 {
			t.Errorf("output %d is not what was written", i)
		}
	}
	shared := []byte(Get(t, s, "a0/shared"))
	if len(shared) != 100_000 || len(bytes.Trim(shared, string(shared[:1]))) != 0 {
		t.Error("a mixture of two writers")
	}
}
