package bucket_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket"
	"longshore/internal/blob/bucket/buckettest"
)

// TestPiecesCrash has a process die before and after each of its requests.
// Another one goes on: what was told is there, and all becomes one blob.
func TestPiecesCrash(t *testing.T) {
	t.Parallel()
	var left atomic.Int64 // requests until death
	var answered atomic.Bool
	server, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		switch n := left.Add(-1); {
		case n > 0:
			server.ServeHTTP(w, r)
		case n == 0 && answered.Load():
			lose(r, server)
		default:
			panic(http.ErrAbortHandler)
		}
	})
	left.Store(1e6)
	doomed := open(t, through)
	doomed.TryOnce()
	other := open(t, server.URL("p"))
	content := noise(5<<20 + 70_000)
	ends := []int{0, 50_000, 60_000, 5<<20 + 10_000, len(content)}
	lives := func(n int64, after bool) (died bool) {
		left.Store(n)
		answered.Store(after)
		token, told, err := "", int64(0), error(nil)
		if token, err = doomed.Begin(t.Context(), "job/in", int64(len(content))); err == nil {
			for i := 1; i < len(ends) && err == nil; i++ {
				var got int64
				if got, err = doomed.Append(t.Context(), "job/in", token, int64(ends[i-1]),
					bytes.NewReader(content[ends[i-1]:ends[i]])); got > 0 {
					told += got
				}
			}
			if err == nil {
				_, err = doomed.FinishPieces(t.Context(), "job/in", token)
			}
		}
		if token == "" { // nobody knows of it: it is swept
			if _, err := other.SweepTemp(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		} else {
			resume(t, other, token, told, content)
		}
		for p, err := range other.Partials(t.Context(), time.Now().Add(time.Hour)) {
			if err != nil || other.Drop(t.Context(), p.Name, p.Token) != nil {
				t.Fatal(p, err)
			}
		}
		if err := other.Delete(t.Context(), "job"); err != nil {
			t.Error(err)
		}
		if clean(t, server, "p"); t.Failed() {
			t.Fatalf("after death at request %d, answered: %v", n, after)
		}
		return err != nil
	}
	n := int64(1)
	for ; lives(n, false); n++ {
		lives(n, true)
	}
	if n < 20 {
		t.Errorf("it took only %d requests", n)
	}
}

// resume sends the rest of a content, beginning where the store says.
func resume(t *testing.T, s *bucket.Store, token string, told int64, content []byte) {
	t.Helper()
	at, err := s.Offset(t.Context(), "job/in", token)
	if err != nil || at < told {
		t.Errorf("offset %d, %v, after %d was told", at, err, told)
		return
	}
	if at < int64(len(content)) {
		if _, err := s.Append(t.Context(), "job/in", token, at, bytes.NewReader(content[at:])); err != nil {
			t.Error(err)
		}
	}
	if info, err := s.FinishPieces(t.Context(), "job/in", token); err != nil ||
		info.Size != int64(len(content)) {
		t.Errorf("finish: %+v, %v", info, err)
	}
	if blobtest.Get(t, s, "job/in") != string(content) {
		t.Error("the content has changed")
	}
}

// TestPiecesLostAnswer loses the answer to the completion: who asks again, here
// or elsewhere, finds the blob.
func TestPiecesLostAnswer(t *testing.T) {
	t.Parallel()
	var most atomic.Int32
	server, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && most.Add(-1) >= 0 {
			lose(r, server)
		}
		server.ServeHTTP(w, r)
	})
	s, other := open(t, through), open(t, server.URL("p"))
	for _, losses := range []int32{1, 1000} {
		token, err := s.Begin(t.Context(), "job/in", 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), "job/in", token, 0, strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
		most.Store(losses)
		for _, s := range []*bucket.Store{s, other} {
			if info, err := s.FinishPieces(t.Context(), "job/in", token); err != nil || info.Size != 3 {
				t.Errorf("%d lost answers: %+v, %v", losses, info, err)
			}
		}
		clean(t, server, "p", "jobs/job/in")
	}
}

// TestPiecesOfAnother finds a blob that was not made from these pieces.
func TestPiecesOfAnother(t *testing.T) {
	t.Parallel()
	s := open(t, buckettest.Start(t).URL("p"))
	blobtest.Put(t, s, "job/in", "another's")
	token, err := s.Begin(t.Context(), "job/in", 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "job/in", token, 0, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if info, err := s.FinishPieces(t.Context(), "job/in", token); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("finish of a half: %+v, %v", info, err)
	}
	if err := s.Drop(t.Context(), "job/in", token); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Offset(t.Context(), "job/in", token); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("offset %d, %v", n, err)
	}
	if got := blobtest.Get(t, s, "job/in"); got != "another's" {
		t.Errorf("the blob holds %q", got)
	}
}

// TestSweepTempPieces leaves alone what somebody may go on with. Lists are
// short, so that there are several pages of parts too.
func TestSweepTempPieces(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	s.SetPageSize(1)
	content := noise(10<<20 + 3)
	var tokens []string
	for _, name := range []string{"job/in", "job/in", "job2/in"} {
		token, err := s.Begin(t.Context(), name, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), name, token, 0, bytes.NewReader(content[:10<<20+2])); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	w, err := s.Create(t.Context(), "job3/in")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(noise(5<<20 + 1)); err != nil {
		t.Fatal(err)
	}
	arrived(t, server, 7)
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("sweep = %d, %v, want only the one request", n, err)
	}
	for range 2 {
		if err := s.Drop(t.Context(), "job/in", tokens[1]); err != nil {
			t.Error(err)
		}
	}
	if err := s.Drop(t.Context(), "job2/in", tokens[2]); err != nil {
		t.Error(err)
	}
	resume(t, s, tokens[0], 10<<20+2, content)
	clean(t, server, "p", "jobs/job/in")
}

// TestPiecesDroppedMeanwhile drops a partial blob while bytes come, as a cancel
// does: nothing of it stays, or it is found by a sweep.
func TestPiecesDroppedMeanwhile(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	token, err := s.Begin(t.Context(), "job/in", 12<<20)
	if err != nil {
		t.Fatal(err)
	}
	drop := sync.OnceFunc(func() {
		arrived(t, server, 1) // a part on its way may outlive its upload, and is swept
		if err := s.Drop(t.Context(), "job/in", token); err != nil {
			t.Error(err)
		}
	})
	r := io.MultiReader(bytes.NewReader(noise(6<<20)), readerFunc(func([]byte) (int, error) {
		drop()
		return 0, io.EOF
	}), bytes.NewReader(noise(5<<20)))
	// Unavailable: the server may say why it refuses a part, and cut before it was said.
	if n, err := s.Append(t.Context(), "job/in", token, 0, r); !errors.Is(err, blob.ErrNotFound) &&
		!errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("append = %d, %v, want ErrNotFound", n, err)
	}
	for p := range s.Partials(t.Context(), time.Now().Add(time.Hour)) {
		if err := s.Drop(t.Context(), p.Name, p.Token); err != nil {
			t.Error(err)
		}
	}
	clean(t, server, "p")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestPieceSize(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct{ part, size, want int64 }{
		{5 * mib, 0, 5 * mib}, {5 * mib, 1, 5 * mib}, {5 * mib, 50_000 * mib, 5 * mib},
		{5 * mib, 50_000*mib + 1, 6 * mib}, {64 * mib, 50_000*mib + 1, 64 * mib},
		{5 * mib, 5 << 40, 525 * mib}, {5 * mib, 10_000 << 30, 1 << 30},
	} {
		if got, err := bucket.PieceSize(tt.part, tt.size); got != tt.want || err != nil {
			t.Errorf("parts of %d bytes: %d, %v, want %d", tt.size, got, err, tt.want)
		}
	}
	if got, err := bucket.PieceSize(5*mib, 10_000<<30+1); !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("too large a blob: %d, %v", got, err)
	}
}
