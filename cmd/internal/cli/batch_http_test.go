package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

// enqueue runs the command line against the server, and returns the exit code.
func (s *slowServer) enqueue(ctx context.Context, stdout, stderr io.Writer, args ...string) int {
	getenv := func(name string) string { return map[string]string{"LONGSHORE_URL": s.URL}[name] }
	return Report(Run(ctx, args, getenv, nil, stdout, stderr, nil), stderr)
}

// jobsFile writes lines of n jobs.
func jobsFile(t *testing.T, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jobs.ndjson")
	var text []byte
	for i := range n {
		text = fmt.Appendf(text, `{"type":"math.primes","payload":{"n":%d}}`+"\n", i+1)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
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
	name := jobsFile(t, n)
	var out, again, msg bytes.Buffer
	if code := s.enqueue(t.Context(), &out, &msg, "batch", name); code != ExitOK {
		t.Fatalf("exit code %d, %s", code, &msg)
	}
	if got := strings.Fields(out.String()); !slices.Equal(got, slowIDs(n)) {
		t.Errorf("%d ids, want %d in order", len(got), n)
	}
	if s.most != requests || s.count < 3 {
		t.Errorf("%d of %d requests at a time, want %d", s.most, s.count, requests)
	}
	if code := s.enqueue(t.Context(), &again, &msg, "batch", name); code != ExitOK ||
		again.String() != out.String() || !strings.Contains(msg.String(), "submitted before") {
		t.Errorf("a second run: exit code %d, %d bytes, %s", code, again.Len(), &msg)
	}
}

// What ends a run while two requests are under way leaves a journal by which
// the next run submits the rest, and tells each line's id once, whoever got it.
func TestBatchTwoRequestsEnd(t *testing.T) {
	t.Parallel()
	const n = 30_000
	for name, code := range map[string]int{"interrupted": ExitInterrupted, "refused": ExitConfiguration} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			second := make(chan struct{})
			s := newSlowServer(t, func(number int, w http.ResponseWriter, r *http.Request) bool {
				switch number {
				case 1:
					<-second
					if code == ExitInterrupted {
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
			file, journal := jobsFile(t, n), filepath.Join(t.TempDir(), "journal")
			var out, msg bytes.Buffer
			if got := s.enqueue(ctx, &out, &msg, "batch", file, "--journal", journal); got != code ||
				!strings.Contains(msg.String(), "the same command submits the rest") {
				t.Fatalf("exit code %d, want %d: %s", got, code, &msg)
			}
			first := strings.Fields(out.String())
			if !slices.IsSorted(first) || len(first) == n {
				t.Fatalf("%d ids before the end", len(first))
			}
			var rest bytes.Buffer
			if code := s.enqueue(t.Context(), &rest, &msg, "batch", file, "--journal", journal); code != ExitOK {
				t.Fatalf("exit code %d, %s", code, &msg)
			}
			all := slices.Sorted(slices.Values(strings.Fields(rest.String())))
			if !strings.HasPrefix(rest.String(), out.String()) || !slices.Equal(all, slowIDs(n)) {
				t.Errorf("%d ids in all, want each of %d once", len(all), n)
			}
		})
	}
}
