package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A slowServer takes batches whose answers a test holds back. A job's id is
// made of its n.
type slowServer struct {
	*httptest.Server
	mu    sync.Mutex
	count int // requests so far
	open  int
	most  int // open at a time
	// each is called with the number of the request, from 1, before it is
	// answered; false = it has answered itself.
	each func(number int, w http.ResponseWriter, r *http.Request) bool
}

func newSlowServer(t *testing.T, each func(number int, w http.ResponseWriter,
	r *http.Request) bool) *slowServer {
	s := &slowServer{each: each}
	s.Server = httptest.NewServer(http.HandlerFunc(s.batch))
	t.Cleanup(s.Close)
	return s
}

func (s *slowServer) batch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == httpapi.PathHealth {
		answer(w, http.StatusOK, httpapi.Status{})
		return
	}
	s.mu.Lock()
	s.count++
	s.open++
	s.most = max(s.most, s.open)
	number := s.count
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	text, err := io.ReadAll(r.Body)
	if err != nil || !s.each(number, w, r) {
		return
	}
	w.Header().Set("Content-Type", httpapi.TypeNDJSON)
	at := int64(0)
	for line := range strings.Lines(string(text)) {
		var l struct{ Payload struct{ N int } }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return
		}
		at++
		w.Write(httpapi.BatchAnswer{Line: at, ID: slowID(l.Payload.N), Created: true}.AppendJSON(nil))
	}
}

func slowID(n int) job.ID { return job.ID(fmt.Sprintf("0199c0de-0000-7000-8000-%012d", n)) }

func slowIDs(n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, string(slowID(i+1)))
	}
	return ids
}

// Two requests are under way at a time, and no more. Where the second is
// answered before the first, the ids come in the order of the lines all the same.
func TestBatchTwoRequests(t *testing.T) {
	t.Parallel()
	const n = 30_000 // more than two requests take
	second := make(chan struct{})
	s := newSlowServer(t, func(number int, _ http.ResponseWriter, r *http.Request) bool {
		switch number {
		case 1:
			select {
			case <-second:
			case <-time.After(90 * time.Second):
				t.Error("no second request while the first is under way")
			case <-r.Context().Done():
			}
		case 2:
			close(second)
		}
		return true
	})
	p := place{t, map[string]string{"LONGSHORE_URL": s.URL}}
	name := p.file(n)
	out, _ := p.enqueue(t.Context(), exitOK, nil, "batch", name)
	if got := strings.Fields(out); !slices.Equal(got, slowIDs(n)) {
		t.Errorf("%d ids, want %d in order", len(got), n)
	}
	if s.most != requests || s.count < 3 {
		t.Errorf("%d of %d requests at a time, want %d", s.most, s.count, requests)
	}
	if again, stderr := p.enqueue(t.Context(), exitOK, nil, "batch", name); again != out ||
		!strings.Contains(stderr, "submitted before") {
		t.Errorf("a second run: %d bytes, %s", len(again), stderr)
	}
}

// What ends a run while two requests are under way leaves a journal by which
// the next run submits the rest, and tells each line's id once, whoever got it.
func TestBatchTwoRequestsEnd(t *testing.T) {
	t.Parallel()
	const n = 30_000
	for name, code := range map[string]int{"interrupted": exitInterrupted, "refused": exitConfiguration} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			second := make(chan struct{})
			s := newSlowServer(t, func(number int, w http.ResponseWriter, r *http.Request) bool {
				switch number {
				case 1:
					<-second
					if code == exitInterrupted {
						interrupt()
						<-r.Context().Done()
						return false
					}
					problem(w, httpapi.NewError(httpapi.Unauthorized, "the token has been changed"))
					return false
				case 2:
					close(second)
				}
				return true
			})
			p := place{t, map[string]string{"LONGSHORE_URL": s.URL}}
			file, journal := p.file(n), filepath.Join(t.TempDir(), "journal")
			var out, msg bytes.Buffer
			err := run(ctx, []string{"batch", file, "--journal", journal},
				func(name string) string { return p.env[name] }, nil, &out, &msg)
			if got := report(err, &msg); got != code ||
				!strings.Contains(msg.String(), "the same command submits the rest") {
				t.Fatalf("exit code %d, want %d: %s", got, code, &msg)
			}
			first := strings.Fields(out.String())
			if !slices.IsSorted(first) || len(first) == n {
				t.Fatalf("%d ids before the end", len(first))
			}
			rest, _ := p.enqueue(t.Context(), exitOK, nil, "batch", file, "--journal", journal)
			all := slices.Sorted(slices.Values(strings.Fields(rest)))
			if !strings.HasPrefix(rest, out.String()) || !slices.Equal(all, slowIDs(n)) {
				t.Errorf("%d ids in all, want each of %d once", len(all), n)
			}
		})
	}
}
