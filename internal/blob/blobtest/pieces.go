package blobtest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"longshore/internal/blob"
)

// RunPieces tests a kind of store that takes blobs in pieces; open is as for Run.
func RunPieces(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, run := range map[string]func(t *testing.T, s blob.Store, p blob.Pieces){
		"Resume": testResume, "Cut": testCutPiece, "FinishAtOnce": testFinishAtOnce, "Drop": testDrop, "Missing": testMissingPieces,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			run(t, s, s.(blob.Pieces))
		})
	}
}

func begin(t *testing.T, p blob.Pieces, name string, size int64) (token string) {
	t.Helper()
	token, err := p.Begin(t.Context(), name, size)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantOffset(t *testing.T, p blob.Pieces, name, token string, want int64) {
	t.Helper()
	if got, err := p.Offset(t.Context(), name, token); err != nil || got != want {
		t.Errorf("offset %d, %v, want %d", got, err, want)
	}
}

func testResume(t *testing.T, s blob.Store, p blob.Pieces) {
	const name, content = "job/in", "<html>hello in pieces"
	token := begin(t, p, name, int64(len(content)))
	for _, end := range []int{0, 5, 6, len(content)} {
		at, err := p.Offset(t.Context(), name, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("open before the end: %v", err)
		}
		if n, err := p.Append(t.Context(), name, token, at, strings.NewReader(content[at:end])); err != nil || n != int64(end)-at {
			t.Errorf("append at %d: %d, %v", at, n, err)
		}
	}
	for range 2 { // whoever asks again gets the same
		info, err := p.FinishPieces(t.Context(), name, token)
		if err != nil || info.Size != int64(len(content)) || info.ContentType != "text/html; charset=utf-8" {
			t.Errorf("finish: %+v, %v", info, err)
		}
		wantOffset(t, p, name, token, int64(len(content)))
	}
	wantContent(t, s, name, content)
	for partial := range p.Partials(t.Context(), time.Now().Add(time.Hour)) {
		t.Errorf("partial blob left: %v", partial)
	}
}

// testCutPiece appends from a reader that breaks: what it gave is kept.
func testCutPiece(t *testing.T, s blob.Store, p blob.Pieces) {
	token := begin(t, p, "job/in", 6)
	broken := errors.New("broken")
	n, err := p.Append(t.Context(), "job/in", token, 0, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)))
	if n != 3 || !errors.Is(err, broken) {
		t.Errorf("append: %d, %v", n, err)
	}
	wantOffset(t, p, "job/in", token, 3)
	// A process that was slow to notice writes what it had: the same bytes.
	for _, at := range []int64{3, 2} {
		if _, err := p.Append(t.Context(), "job/in", token, at, strings.NewReader("abcdef"[at:])); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.FinishPieces(t.Context(), "job/in", token); err != nil {
		t.Error(err)
	}
	wantContent(t, s, "job/in", "abcdef")
}

func testFinishAtOnce(t *testing.T, s blob.Store, p blob.Pieces) {
	data := bytes.Repeat([]byte("x"), 1<<20)
	token := begin(t, p, "job/in", int64(len(data)))
	if _, err := p.Append(t.Context(), "job/in", token, 0, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if info, err := p.FinishPieces(t.Context(), "job/in", token); err != nil || info.Size != int64(len(data)) {
				t.Errorf("finish: %+v, %v", info, err)
			}
		})
	}
	wg.Wait()
	wantContent(t, s, "job/in", string(data))
}

func testDrop(t *testing.T, _ blob.Store, p blob.Pieces) {
	token, other := begin(t, p, "job/in", 3), begin(t, p, "job/in", 3)
	var found []blob.Partial
	for partial, err := range p.Partials(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if found = append(found, partial); partial.Name != "job/in" || partial.Job() != "job" {
			t.Errorf("partial blob %+v", partial)
		}
	}
	for range p.Partials(t.Context(), time.Now().Add(-time.Hour)) {
		t.Error("a young partial blob is listed as old")
	}
	if len(found) != 2 {
		t.Errorf("%d partial blobs", len(found))
	}
	for range 2 {
		if err := p.Drop(t.Context(), "job/in", token); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Offset(t.Context(), "job/in", token); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("offset after drop: %v", err)
	}
	wantOffset(t, p, "job/in", other, 0)
}

func testMissingPieces(t *testing.T, _ blob.Store, p blob.Pieces) {
	for _, token := range []string{"", "../../etc/passwd", strings.Repeat("0", 32)} {
		if _, err := p.Offset(t.Context(), "job/in", token); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("offset of %q: %v", token, err)
		}
		if _, err := p.Append(t.Context(), "job/in", token, 0, strings.NewReader("x")); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("append to %q: %v", token, err)
		}
		if _, err := p.FinishPieces(t.Context(), "job/in", token); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("finish %q: %v", token, err)
		}
	}
	if _, err := p.Begin(t.Context(), "../x", 1); !errors.Is(err, blob.ErrBadName) {
		t.Errorf("begin of a bad name: %v", err)
	}
}

func wantContent(t *testing.T, s blob.Store, name, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Errorf("%s holds %d bytes (%v), want %d", name, len(got), err, len(want))
	}
}
