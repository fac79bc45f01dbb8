package bucket_test

import (
	"bytes"
	"crypto/sha256"
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

// bring signs a part and sends something there, and returns the status.
func bring(t *testing.T, s *bucket.Store, p blob.Parts, part blob.Part, content []byte) int {
	t.Helper()
	signed, err := s.SignPart(t.Context(), "job/in", p, part, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range signed.Headers {
		r.Header.Set(name, value)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return 0 // cut before it was refused
	}
	answer.Body.Close()
	return answer.StatusCode
}

func anything(blob.Parts) error { return nil }

// summed is a part with its sum.
func summed(number int, content []byte) blob.Part {
	sum := sha256.Sum256(content)
	return blob.Part{Number: number, SHA256: sum[:]}
}

// TestDirect brings parts in any order, some twice and some wrong; lists are short.
func TestDirect(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	s.SetPageSize(1)
	content := noise(10<<20 + 3)
	piece := [][]byte{nil, content[:5<<20], content[5<<20 : 10<<20], content[10<<20:]}
	token, err := s.BeginDirect(t.Context(), "job/in", int64(len(content)), true)
	if err != nil {
		t.Fatal(err)
	}
	look := func() blob.Parts {
		t.Helper()
		p, err := s.Parts(t.Context(), "job/in", token)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := look()
	if p.Count() != 3 || p.Length(2) != 5<<20 || p.Length(3) != 3 || !p.Summed || p.Made || len(p.There) > 0 {
		t.Errorf("begun as %+v", p)
	}
	for _, n := range []int{3, 1, 1} {
		if status := bring(t, s, p, summed(n, piece[n]), piece[n]); status != http.StatusOK {
			t.Errorf("part %d: %d", n, status)
		}
	}
	if status := bring(t, s, p, summed(2, piece[2]), piece[1]); status == http.StatusOK {
		t.Error("a part with other bytes is taken")
	}
	if status := bring(t, s, p, summed(2, piece[2]), piece[2][1:]); status == http.StatusOK {
		t.Error("a part of another length is taken")
	}
	if _, err := s.FinishDirect(t.Context(), "job/in", token, anything); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("finish without the second part: %v", err)
	}
	if n, err := s.Offset(t.Context(), "job/in", token); n != 5<<20+3 || err != nil {
		t.Errorf("%d bytes are there, %v", n, err)
	}
	if status := bring(t, s, p, summed(2, piece[2]), piece[2]); status != http.StatusOK {
		t.Errorf("part 2: %d", status)
	}
	p = look()
	for i, part := range p.There {
		want := summed(i+1, piece[i+1])
		if part.Number != i+1 || part.Size != p.Length(i+1) || !bytes.Equal(part.SHA256, want.SHA256) {
			t.Errorf("part %+v", part)
		}
	}
	refusal := errors.New("refused")
	if _, err := s.FinishDirect(t.Context(), "job/in", token, func(blob.Parts) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("finish although it is refused: %v", err)
	}
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("the sweep ends %d uploads, %v", n, err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if info, err := s.FinishDirect(t.Context(), "job/in", token, anything); err != nil || info.Size != int64(len(content)) {
				t.Errorf("finish: %+v, %v", info, err)
			}
		})
	}
	group.Wait()
	if status := bring(t, s, p, summed(1, piece[2]), piece[2]); status != http.StatusNotFound && status != 0 {
		t.Errorf("a part after the end: %d", status)
	}
	if blobtest.Get(t, s, "job/in") != string(content) {
		t.Error("the content has changed")
	}
	if p := look(); !p.Made || p.Size != int64(len(content)) {
		t.Errorf("made: %+v", p)
	}
	clean(t, server, "p", "jobs/job/in")
}

// TestDirectReplacedMeanwhile has a part come again, with other bytes, between the check and the completion:
// what becomes the blob was checked.
func TestDirectReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	var s *bucket.Store
	var p blob.Parts
	var once sync.Once
	var armed atomic.Bool
	_, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if armed.Load() && r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			once.Do(func() { bring(t, s, p, blob.Part{Number: 1}, []byte("other")) })
		}
		server.ServeHTTP(w, r)
	})
	s = open(t, through)
	token, err := s.BeginDirect(t.Context(), "job/in", 5, false)
	if err == nil {
		p, err = s.Parts(t.Context(), "job/in", token)
	}
	if err != nil {
		t.Fatal(err)
	}
	bring(t, s, p, blob.Part{Number: 1}, []byte("first"))
	armed.Store(true)
	checks := 0
	if _, err := s.FinishDirect(t.Context(), "job/in", token, func(blob.Parts) error { checks++; return nil }); err != nil {
		t.Error(err)
	}
	if got := blobtest.Get(t, s, "job/in"); checks != 2 || got != "other" {
		t.Errorf("%q after %d checks", got, checks)
	}
}

// TestDirectEmpty is of no parts, and TestSignRead of what an address says.
func TestDirectEmpty(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	token, err := s.BeginDirect(t.Context(), "job/in", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Parts(t.Context(), "job/in", token); err != nil || p.Count() != 0 {
		t.Errorf("begun as %+v, %v", p, err)
	}
	for range 2 {
		if info, err := s.FinishDirect(t.Context(), "job/in", token, anything); err != nil || info.Size != 0 {
			t.Errorf("finish: %+v, %v", info, err)
		}
	}
	clean(t, server, "p", "jobs/job/in")
}

func TestSignRead(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	blobtest.Put(t, s, "job/out", "content")
	address, err := s.SignRead(t.Context(), "job/out", blob.ReadAs{ContentType: "text/html",
		Disposition: `attachment; filename="a b.html"`}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if h := answer.Header; err != nil || string(text) != "content" || h.Get("Content-Type") != "text/html" ||
		h.Get("Content-Disposition") != `attachment; filename="a b.html"` {
		t.Errorf("%q, %v, %v", text, h, err)
	}
	bent, err := client.Get(strings.Replace(address, "job/out", "job/in", 1))
	if err != nil || bent.StatusCode != http.StatusForbidden {
		t.Errorf("another blob by the same address: %v, %v", bent, err)
	}
	if err == nil {
		bent.Body.Close()
	}
	public := open(t, server.URL("p")+"&public_endpoint=https%3A%2F%2Ffiles.example")
	if address, err := public.SignRead(t.Context(), "job/out", blob.ReadAs{}, time.Minute); err != nil ||
		!strings.HasPrefix(address, "https://files.example/blobs/p/jobs/job/out?") {
		t.Errorf("signed for others: %s, %v", address, err)
	}
}
