package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"longshore/internal/httpapi"
	"longshore/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testID = job.ID("0199c0de-0000-7000-8000-000000000001")

// serve starts a server and returns a client of it that pauses for no time and
// counts its pauses.
func serve(t *testing.T, h http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return connect(t, srv.URL)
}

func connect(t *testing.T, address string) (*Client, *atomic.Int32) {
	t.Helper()
	c, err := New(Config{URL: address, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	var pauses atomic.Int32
	c.sleep = func(ctx context.Context, _ time.Duration) error {
		pauses.Add(1)
		return context.Cause(ctx)
	}
	return c, &pauses
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", httpapi.TypeJSON)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, e *httpapi.Error) {
	w.Header().Set("Content-Type", httpapi.TypeProblem)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(e.Status)
	json.NewEncoder(w).Encode(e)
}

func TestNewChecksTheURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:8080", "ftp://host", "http://", "://user:hunter2@host",
		"/v1"} {
		if _, err := New(Config{URL: bad}); err == nil {
			t.Errorf("New accepted %q", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	c, err := New(Config{URL: "https://host/longshore/"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.base.String(); got != "https://host/longshore" {
		t.Errorf("base = %q", got)
	}
}

func TestSubmitRepeatsWithOneKey(t *testing.T) {
	t.Parallel()
	var keys []string
	c, pauses := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get(httpapi.HeaderIdempotencyKey))
		var got map[string]any
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Errorf("body: %v", err)
		}
		want := map[string]any{"type": "math.primes", "payload": map[string]any{"n": 10.0},
			"priority": "high", "timeout": "90s", "max_attempts": 2.0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("Authorization = %q", r.Header.Get("Authorization"))
		}
		if len(keys) < 3 {
			e := httpapi.NewError(httpapi.Unavailable, "Redis is away")
			e.RetryAfter = time.Second
			refuse(w, e)
			return
		}
		reply(w, http.StatusAccepted, job.Snapshot{ID: testID, State: job.Queued})
	})
	snap, err := c.Submit(t.Context(), Submission{Type: "math.primes", Payload: map[string]int{"n": 10},
		Priority: job.High, Timeout: 90 * time.Second, MaxAttempts: 2})
	if err != nil || snap.ID != testID {
		t.Fatalf("Submit = %v, %v", snap.ID, err)
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys = %q, want one key three times", keys)
	}
	if pauses.Load() != 2 {
		t.Errorf("%d pauses, want 2", pauses.Load())
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	tries := 0
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		tries++
		e := httpapi.NewError(httpapi.Invalid, "payload does not fit")
		e.Errors = []httpapi.Pointer{{Pointer: "/payload/n", Detail: "expected integer"}}
		refuse(w, e)
	})
	_, err := c.Submit(t.Context(), Submission{Type: "math.primes"})
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("err = %v", err)
	}
	if refused.Code != Invalid || refused.Status != 422 || refused.Errors[0].Pointer != "/payload/n" ||
		tries != 1 {
		t.Errorf("got %+v after %d tries", refused, tries)
	}
}

func TestSubmitFile(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 100_000)
	tests := map[string]struct {
		in       io.Reader
		size     int64
		failures int
		want     string // of the error; "" = success
	}{
		"known size":              {strings.NewReader(text), int64(len(text)), 0, ""},
		"found size":              {strings.NewReader(text), -1, 0, ""},
		"repeated from the start": {strings.NewReader(text), -1, 2, ""},
		"a pipe":                  {io.MultiReader(strings.NewReader(text)), -1, 0, ""},
		"a pipe is not repeated":  {io.MultiReader(strings.NewReader(text)), -1, 1, "unavailable"},
		"shorter than announced":  {strings.NewReader(text), int64(len(text)) + 7, 0, "7 bytes shorter"},
		"empty":                   {strings.NewReader(""), -1, 1, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := text
			if name == "empty" {
				want = ""
			}
			tries := 0
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err == nil && string(got) != want {
					t.Errorf("try %d: %d bytes arrived, want %d", tries, len(got), len(want))
				}
				if q := r.URL.Query(); q.Get("top") != "5" || q.Get("filename") != "access.log" ||
					q.Get("expires_in") != "1m" {
					t.Errorf("query = %v", q)
				}
				if tries++; tries <= test.failures {
					refuse(w, httpapi.NewError(httpapi.Unavailable, ""))
					return
				}
				reply(w, http.StatusAccepted, job.Snapshot{ID: testID})
			})
			_, err := c.SubmitFile(t.Context(), Submission{
				Type: "log.analyze", Fields: url.Values{"top": {"5"}}, Filename: "access.log",
				ExpiresIn: time.Minute,
			}, test.in, test.size)
			if test.want == "" && err != nil || test.want != "" &&
				(err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("err = %v, want %q", err, test.want)
			}
		})
	}
}

// TestRefusedUploadIsNotSent refuses before the body: none of it may be read,
// so that even a pipe can be sent again.
func TestRefusedUploadIsNotSent(t *testing.T) {
	t.Parallel()
	tries := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			refuse(w, httpapi.NewError(httpapi.Unavailable, ""))
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 1<<20 {
			t.Errorf("read %d, %v", n, err)
		}
		reply(w, http.StatusAccepted, job.Snapshot{ID: testID})
	})
	pipe := io.LimitReader(zeros{}, 1<<20)
	if _, err := c.SubmitFile(t.Context(), Submission{Type: "file.checksum"}, pipe, -1); err != nil {
		t.Error(err)
	}
	if tries != 2 {
		t.Errorf("%d tries, want 2", tries)
	}
}

// TestEarlyAnswer has the server answer a huge upload without reading it all.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1000)
		reply(w, http.StatusOK, job.Snapshot{ID: testID, State: job.Succeeded})
	})
	in := io.NewSectionReader(zeros{}, 0, 1<<30)
	snap, err := c.SubmitFile(t.Context(), Submission{Type: "file.checksum"}, in, -1)
	// The server closes the connection, so its answer may be lost on the way;
	// what counts is that the call ends.
	if err == nil && snap.ID != testID {
		t.Errorf("snap = %+v", snap)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error)            { clear(p); return len(p), nil }
func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func TestAnswersThatAreNotOurs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string
		check  func(error) bool
	}{
		"a page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>Welcome")
		}, "text/html", foreign},
		"a page that is not found": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
		}, "HTTP 404", foreign},
		"a redirected post": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusMovedPermanently)
		}, "elsewhere.example", foreign},
		"other JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", httpapi.TypeJSON)
			io.WriteString(w, `{"id":`)
		}, "not Longshore", foreign},
		"a router's error page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "HTTP 503", func(err error) bool {
			var e *Error
			return errors.As(err, &e) && e.Code == Unavailable
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, test.answer)
			c.retryFor = -1
			_, err := c.Submit(t.Context(), Submission{Type: "math.primes"})
			if err == nil || !strings.Contains(err.Error(), test.want) || !test.check(err) {
				t.Errorf("err = %v, want it to say %q", err, test.want)
			}
		})
	}
}

func foreign(err error) bool { return errors.Is(err, ErrForeign) }

func TestUnreachable(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c, pauses := connect(t, srv.URL)
	var told sync.Once
	heard := false
	c.onRetry = func(error, time.Duration) { told.Do(func() { heard = true }) }
	c.retryFor = time.Second
	c.sleep = func(context.Context, time.Duration) error { // time stands still, so let it run out
		pauses.Add(1)
		c.retryFor -= 400 * time.Millisecond
		return nil
	}
	_, err := c.Get(t.Context(), testID)
	var e *Error
	if !errors.As(err, &e) || e.Code != Unavailable || e.Status != 0 {
		t.Errorf("err = %#v", err)
	}
	if !heard || pauses.Load() == 0 {
		t.Error("nothing was tried again")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("state") != "failed" || q.Get("type") != "log.analyze" {
			t.Errorf("query = %v", q)
		}
		switch q.Get("cursor") {
		case "":
			reply(w, 200, httpapi.JobList{Jobs: []job.Snapshot{{ID: "3"}, {ID: "2"}}, Next: "two"})
		case "two": // looked at many, found none: the list goes on
			scanned, complete := 5000, false
			reply(w, 200, httpapi.JobList{Jobs: []job.Snapshot{}, Next: "three", Scanned: &scanned,
				Complete: &complete})
		case "three":
			reply(w, 200, httpapi.JobList{Jobs: []job.Snapshot{{ID: "1"}}})
		}
	})
	var ids []job.ID
	for snap, err := range c.List(t.Context(), Filter{State: job.Failed, Type: "log.analyze"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	if diff := cmp.Diff([]job.ID{"3", "2", "1"}, ids); diff != "" {
		t.Error(diff)
	}
	for cursor, want := range map[string]Page{"two": {Next: "three", Scanned: 5000},
		"three": {Complete: true}} {
		page, err := c.ListPage(t.Context(), Filter{State: job.Failed, Type: "log.analyze"}, 100, cursor)
		if err != nil || page.Next != want.Next || page.Scanned != want.Scanned ||
			page.Complete != want.Complete {
			t.Errorf("page at %s: %+v, %v", cursor, page, err)
		}
	}
}
