package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
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
		"Resume": testResume, "Cut": testCutPiece, "FinishAtOnce": testFinishAtOnce, "Drop": testDrop,
		"Missing": testMissingPieces, "CutAnywhere": testCutAnywhere, "TwoWriters": testTwoWriters,
		"Empty": testEmptyPieces, "CanceledPiece": testCanceledPiece, "Ended": testEndedPieces,
		"DropWhileListing": testDropWhileListing,
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
		if n, err := p.Append(t.Context(), name, token, at, strings.NewReader(content[at:end])); err != nil ||
			n != int64(end)-at {
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
	for partial, err := range p.Partials(t.Context(), time.Now().Add(time.Hour)) {
		t.Errorf("partial blob left: %v, %v", partial, err)
	}
}

// testCutPiece appends from a reader that breaks: what it gave is kept.
func testCutPiece(t *testing.T, s blob.Store, p blob.Pieces) {
	token := begin(t, p, "job/in", 6)
	broken := errors.New("broken")
	n, err := p.Append(t.Context(), "job/in", token, 0, io.MultiReader(strings.NewReader("abc"),
		iotest.ErrReader(broken)))
	if n != 3 || !errors.Is(err, broken) {
		t.Errorf("append: %d, %v", n, err)
	}
	wantOffset(t, p, "job/in", token, 3)
	// A process that was slow to notice writes what it had: the same bytes.
	for _, at := range []int64{3, 2} {
		if _, err := p.Append(t.Context(), "job/in", token, at,
			strings.NewReader("abcdef"[at:])); err != nil {
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
			if info, err := p.FinishPieces(t.Context(), "job/in", token); err != nil ||
				info.Size != int64(len(data)) {
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
	for _, err := range p.Partials(t.Context(), time.Now().Add(-time.Hour)) {
		t.Errorf("a young partial blob is listed as old: %v", err)
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
		if _, err := p.Append(t.Context(), "job/in", token, 0, strings.NewReader("x")); !errors.Is(err,
			blob.ErrNotFound) {
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

// pieces is more than two of the parts that a store may cut a blob into.
const pieces = 11<<20 + 77

// testCutAnywhere cuts at random, also while bytes are being read, and each
// time asks how far it got. That never goes back.
func testCutAnywhere(t *testing.T, s blob.Store, p blob.Pieces) {
	const name = "job/in"
	content := noise(pieces)
	token := begin(t, p, name, pieces)
	random := rand.New(rand.NewPCG(1, 2)) // the same on each run
	for at := int64(0); at < pieces; {
		end := min(pieces, at+random.Int64N(3<<20))
		var r io.Reader = strings.NewReader(content[at:end])
		broken := errors.New("broken")
		if random.IntN(2) == 0 {
			r = io.MultiReader(r, iotest.ErrReader(broken))
		}
		n, err := p.Append(t.Context(), name, token, at, iotest.HalfReader(r))
		if err != nil && !errors.Is(err, broken) || n > end-at || err == nil && n < end-at {
			t.Fatalf("append of %d bytes at %d: %d, %v", end-at, at, n, err)
		}
		at += n
		wantOffset(t, p, name, token, at)
	}
	if info, err := p.FinishPieces(t.Context(), name, token); err != nil || info.Size != pieces {
		t.Errorf("finish: %+v, %v", info, err)
	}
	wantContent(t, s, name, content)
}

// testTwoWriters has several processes think that it is their turn. They write
// the same bytes, as a client has only one file.
func testTwoWriters(t *testing.T, s blob.Store, p blob.Pieces) {
	const name = "job/in"
	content := noise(pieces)
	token := begin(t, p, name, pieces)
	if _, err := p.Append(t.Context(), name, token, 0, strings.NewReader(content[:100])); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, end := range []int{3 << 20, 5 << 20, 8 << 20} {
		wg.Go(func() {
			if n, err := p.Append(t.Context(), name, token, 100,
				strings.NewReader(content[100:end])); n != int64(end)-100 || err != nil {
				t.Errorf("append to %d: %d, %v", end, n, err)
			}
		})
	}
	wg.Wait()
	wantOffset(t, p, name, token, 8<<20)
	for _, at := range []int64{8 << 20, 8<<20 - 5, 3 << 20} { // the last ones come late
		if n, err := p.Append(t.Context(), name, token, at, strings.NewReader(content[at:])); n != pieces-
			at || err != nil {
			t.Errorf("append at %d: %d, %v", at, n, err)
		}
		wantOffset(t, p, name, token, pieces)
	}
	if _, err := p.FinishPieces(t.Context(), name, token); err != nil {
		t.Error(err)
	}
	wantContent(t, s, name, content)
}

func testEmptyPieces(t *testing.T, s blob.Store, p blob.Pieces) {
	token := begin(t, p, "job/in", 0)
	wantOffset(t, p, "job/in", token, 0)
	for range 2 {
		if info, err := p.FinishPieces(t.Context(), "job/in", token); err != nil || info.Size != 0 ||
			info.ContentType != "text/plain; charset=utf-8" {
			t.Errorf("finish: %+v, %v", info, err)
		}
	}
	wantContent(t, s, "job/in", "")
}

// testCanceledPiece ends the context while bytes come: those that came are kept.
func testCanceledPiece(t *testing.T, _ blob.Store, p blob.Pieces) {
	token := begin(t, p, "job/in", 10)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	r := io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) {
		cancel(stop)
		return 0, stop
	}))
	if n, err := p.Append(ctx, "job/in", token, 0, r); n != 3 || !errors.Is(err, stop) {
		t.Errorf("append: %d, %v", n, err)
	}
	wantOffset(t, p, "job/in", token, 3)
	if n, err := p.Append(ctx, "job/in", token, 3, strings.NewReader("def")); n != 0 ||
		!errors.Is(err, stop) {
		t.Errorf("append when it is over: %d, %v", n, err)
	}
	if _, err := p.Append(t.Context(), "job/in", token, 5, strings.NewReader("f")); err == nil {
		t.Error("append behind the end")
	}
	wantOffset(t, p, "job/in", token, 3)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// testEndedPieces asks for more of what was dropped, and drops what is a blob.
func testEndedPieces(t *testing.T, s blob.Store, p blob.Pieces) {
	const name = "job/in"
	token := begin(t, p, name, 6)
	if _, err := p.Append(t.Context(), name, token, 0, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if err := p.Drop(t.Context(), name, token); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(t.Context(), name, token, 3, strings.NewReader("def")); !errors.Is(err,
		blob.ErrNotFound) {
		t.Errorf("append after drop: %v", err)
	}
	if _, err := p.FinishPieces(t.Context(), name, token); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("finish after drop: %v", err)
	}
	token = begin(t, p, name, 6)
	if _, err := p.Append(t.Context(), name, token, 0, strings.NewReader("abcdef")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.FinishPieces(t.Context(), name, token); err != nil {
		t.Fatal(err)
	}
	if err := p.Drop(t.Context(), name, token); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, name, "abcdef")
	if err := s.Delete(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Offset(t.Context(), name, token); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("offset of a deleted blob: %v", err)
	}
}

func testDropWhileListing(t *testing.T, _ blob.Store, p blob.Pieces) {
	want := map[blob.Partial]bool{}
	for _, name := range []string{"a/in", "a/in", "a/in/x", "a/out", "b/in"} {
		token := begin(t, p, name, 9)
		if _, err := p.Append(t.Context(), name, token, 0, strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
		want[blob.Partial{Name: name, Token: token}] = true
	}
	for partial, err := range p.Partials(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil || !want[partial] {
			t.Fatalf("%+v, %v", partial, err)
		}
		delete(want, partial)
		if err := p.Drop(t.Context(), partial.Name, partial.Token); err != nil {
			t.Error(err)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	for partial, err := range p.Partials(t.Context(), time.Now().Add(time.Hour)) {
		t.Errorf("left: %+v, %v", partial, err)
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
