package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A faulty server has one job, which ends with revision last. Its streams do
// what a test wants, one after the other, the last one again and again.
type faulty struct {
	t       *testing.T
	last    int64
	streams []func(s *stage)
	now     atomic.Int64 // the job's revision
	opened  atomic.Int32 // streams
	polled  atomic.Int32 // long-polls
}

func (f *faulty) snapshot() job.Snapshot {
	snap := job.Snapshot{ID: testID, Rev: f.now.Load(), State: job.Running}
	if snap.Rev == f.last {
		snap.State, snap.Done = job.Succeeded, true
	}
	return snap
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == httpapi.EventsPath(testID):
		after := r.Header.Get(httpapi.HeaderLastEventID)
		if after != strconv.FormatInt(f.now.Load(), 10) || r.URL.Query().Get("after") != after {
			f.t.Errorf("stream after %q of %d, %s", after, f.now.Load(), r.URL)
		}
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Accept") != httpapi.TypeEvents {
			f.t.Errorf("header %v", r.Header)
		}
		n := min(int(f.opened.Add(1)), len(f.streams))
		w.Header().Set("Content-Type", httpapi.TypeEvents)
		f.streams[n-1](&stage{f, w, r})
	default:
		if r.URL.Query().Has("wait") {
			f.polled.Add(1)
			f.now.Add(1)
		}
		reply(w, 200, f.snapshot())
	}
}

// A stage is one stream's answer.
type stage struct {
	*faulty
	w http.ResponseWriter
	r *http.Request
}

func (s *stage) write(text string) {
	if _, err := io.WriteString(s.w, text); err != nil {
		s.t.Error(err)
	}
	if err := http.NewResponseController(s.w).Flush(); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) state() string {
	text, err := json.Marshal(s.snapshot())
	if err != nil {
		s.t.Error(err)
	}
	return fmt.Sprintf("event: state\nid: %d\ndata: %s\n\n", s.now.Load(), text)
}

// move moves the job on by n revisions, and tells each.
func (s *stage) move(n int) {
	for range n {
		s.now.Add(1)
		s.write(s.state())
	}
}

// cut ends the connection.
func (*stage) cut() { panic(http.ErrAbortHandler) }

func TestFollowStreams(t *testing.T) {
	t.Parallel()
	unusable := func(do func(s *stage)) []func(*stage) { return []func(*stage){do} }
	for name, c := range map[string]struct {
		streams        []func(*stage)
		opened, polled int32
		pauses         int32
	}{
		"one stream": {[]func(*stage){func(s *stage) { s.write("retry: 10\n\n:\n\n"); s.move(5) }}, 1, 0, 0},
		"cut between events, in an event and before any": {[]func(*stage){
			func(s *stage) { s.move(1); s.cut() },
			func(s *stage) { s.move(1); s.write(s.state()[:60]); s.cut() },
			func(s *stage) { s.write(":"); s.cut() },
			func(s *stage) { s.move(3) },
		}, 4, 0, 0},
		"ended with retry": {[]func(*stage){
			func(s *stage) { s.move(1); s.write("retry: 10\n\n") },
			func(s *stage) { s.move(4) },
		}, 2, 0, 1},
		"the same again, events of other kinds, CRLF": {[]func(*stage){func(s *stage) {
			s.write(s.state() + "event: other\r\ndata: {\r\n\r\ndata: x\n\n")
			s.move(5)
		}}, 1, 0, 0},
		"the news is in the look after a break": {[]func(*stage){
			func(s *stage) { s.write(":"); s.now.Add(1); s.cut() },
			func(s *stage) { s.now.Add(4); s.write(":\n\n") },
		}, 2, 0, 0},
		"never any news": {[]func(*stage){func(s *stage) { s.write("retry: 10\n\n") }}, maxSilent, 5,
			maxSilent},
		"HTML": {unusable(func(s *stage) {
			s.w.Header().Set("Content-Type", "text/html")
			s.write("<html>")
		}), 1, 5, 0},
		"JSON":           {unusable(func(s *stage) { reply(s.w, 200, s.snapshot()) }), 1, 5, 0},
		"not acceptable": {unusable(func(s *stage) { s.w.WriteHeader(http.StatusNotAcceptable) }), 1, 5, 0},
		"error": {unusable(func(s *stage) { s.w.WriteHeader(http.StatusInternalServerError) }), 1,
			5, 0},
		"garbage": {unusable(func(s *stage) { s.write("event: state\ndata: {\"id\":\n\n") }), 1, 5, 0},
		"another job": {unusable(func(s *stage) {
			s.write("event: state\ndata: {\"id\":\"x\",\"rev\":9,\"done\":true}\n\n")
		}), 1, 5, 0},
		"no events at all":  {[]func(*stage){func(s *stage) { s.write(strings.Repeat("\x00garbage", 1000)) }}, maxSilent, 5, 0},
		"a gateway's error": {[]func(*stage){func(s *stage) { s.w.WriteHeader(http.StatusBadGateway) }, func(s *stage) { s.move(5) }}, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &faulty{t: t, last: 6, streams: c.streams}
			f.now.Store(1)
			cl, pauses := serve(t, f.ServeHTTP)
			var revs []int64
			for snap, err := range cl.Follow(t.Context(), testID) {
				if err != nil {
					t.Fatal(err)
				}
				revs = append(revs, snap.Rev)
			}
			if want := []int64{1, 2, 3, 4, 5, 6}; name != "the news is in the look after a break" &&
				!cmp.Equal(want, revs) {
				t.Errorf("revisions %v, want %v", revs, want)
			} else if revs[len(revs)-1] != 6 {
				t.Errorf("revisions %v", revs)
			}
			if f.opened.Load() != c.opened || f.polled.Load() != c.polled || pauses.Load() != c.pauses {
				t.Errorf("%d streams, %d long-polls, %d pauses; want %d, %d, %d", f.opened.Load(),
					f.polled.Load(), pauses.Load(), c.opened, c.polled, c.pauses)
			}
		})
	}
}

func TestFollowStreamEndsWithContext(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	f := &faulty{t: t, last: 6, streams: []func(*stage){func(s *stage) {
		s.move(1)
		<-s.r.Context().Done()
	}}}
	f.now.Store(1)
	c, _ := serve(t, f.ServeHTTP)
	var last error
	for snap, err := range c.Follow(ctx, testID) {
		if last = err; snap.Rev == 2 {
			cancel(enough)
		}
	}
	if !errors.Is(last, enough) {
		t.Errorf("got %v", last)
	}
}

// A proxy of the tests' own plays a server in virtual time. Its streams bring a
// text and then nothing, until the client gives up.
type holding struct {
	text    string
	asked   []string // path and query, and when
	begun   time.Time
	release int // look-ups until the job ends
}

func (h *holding) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked = append(h.asked, fmt.Sprintf("%v %s %s", time.Since(h.begun),
		strings.TrimPrefix(r.URL.Path, httpapi.JobPath(testID)), r.URL.Query().Get("wait")))
	resp := &http.Response{StatusCode: 200, Header: http.Header{}}
	if r.URL.Path == httpapi.EventsPath(testID) {
		resp.Header.Set("Content-Type", httpapi.TypeEvents)
		in, out := io.Pipe()
		stop := context.AfterFunc(r.Context(), func() { out.CloseWithError(r.Context().Err()) })
		go func() {
			io.WriteString(out, h.text)
			<-r.Context().Done()
			stop()
			out.CloseWithError(r.Context().Err())
		}()
		resp.Body = in
		return resp, nil
	}
	snap := job.Snapshot{ID: testID, Rev: 1, State: job.Running}
	if h.release--; h.release == 0 {
		snap = job.Snapshot{ID: testID, Rev: 2, State: job.Succeeded, Done: true}
	}
	text, err := json.Marshal(snap)
	resp.Header.Set("Content-Type", httpapi.TypeJSON)
	resp.Body = io.NopCloser(strings.NewReader(string(text)))
	return resp, err
}

// TestFollowBehindProxies has proxies that hold streams back, in virtual time.
func TestFollowBehindProxies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"holds all back": {"", []string{"0s  ", "0s /events ", "5s  25s"}},
		"falls silent":   {":\n\n", []string{"0s  ", "0s /events ", "40s  "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &holding{text: c.text, begun: time.Now(), release: 2}
				cl, err := New(Config{URL: "http://server", HTTP: &http.Client{Transport: h}})
				if err != nil {
					t.Fatal(err)
				}
				var revs []int64
				for snap, err := range cl.Follow(t.Context(), testID) {
					if err != nil {
						t.Fatal(err)
					}
					revs = append(revs, snap.Rev)
				}
				if diff := cmp.Diff([]int64{1, 2}, revs); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(c.want, h.asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A full server answers at once, with Retry-After: Wait comes back only then.
func TestWaitHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	asked := 0
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.Header().Set("Retry-After", "7")
			reply(w, 200, job.Snapshot{ID: testID, Rev: 1, State: job.Running})
			return
		}
		reply(w, 200, job.Snapshot{ID: testID, Rev: 2, State: job.Succeeded, Done: true})
	})
	var slept []time.Duration
	c.sleep = func(_ context.Context, d time.Duration) error {
		slept = append(slept, d)
		return nil
	}
	if _, err := c.Wait(t.Context(), testID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{7 * time.Second, 7 * time.Second}, slept); diff != "" {
		t.Error(diff)
	}
}

func TestEventReader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"data: a\n\n":       {"message a"},
		"\ufeffdata: a\n\n": {"message a"},
		"event: x\ndata: a\ndata:b\ndata:  c\n\n":  {"x a|b| c"},
		"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r": {"x a", "message b"},
		"data: a\r\rdata: b\r\r":                   {"message a", "message b"},
		"data\n\n":                                 {"message "},
		"event: x\n\ndata: a\n\n":                  {"message a"},
		":comment\n\n:\n\nfoo: bar\ndata: a\n\n":   {"message a"},
		"data: a\n\ndata: cut":                     {"message a"},
		"data: a\n":                                nil,
		"":                                         nil,
	} {
		d := newEventReader(strings.NewReader(text))
		var got []string
		for {
			e, err := d.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%q: %v", text, err)
				}
				break
			}
			got = append(got, e.name+" "+strings.ReplaceAll(string(e.data), "\n", "|"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	d := newEventReader(strings.NewReader("retry: 1500\n\nretry: x\n\nretry: -1\n\n"))
	if _, err := d.next(); !errors.Is(err, io.EOF) || d.retry != 1500*time.Millisecond {
		t.Errorf("retry %v, %v", d.retry, err)
	}
	d = newEventReader(io.MultiReader(strings.NewReader("data: "), endless{}))
	if _, err := d.next(); !errors.Is(err, errEventTooLong) {
		t.Errorf("an endless line: %v", err)
	}
	d = newEventReader(
		io.MultiReader(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 5))))
	if _, err := d.next(); !errors.Is(err, errEventTooLong) {
		t.Errorf("endless lines: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// FuzzEventReader reads any bytes: it ends, holds little, and an event that it
// returns was written to its end.
func FuzzEventReader(f *testing.F) {
	f.Add("event: state\nid: 3\ndata: {\"rev\":3}\n\n:\n\nretry: 10\n\n")
	f.Add("\ufeffdata:a\r\ndata\r\r\n")
	f.Add("data: cut")
	f.Fuzz(func(t *testing.T, text string) {
		d := newEventReader(strings.NewReader(text))
		size := 0
		for {
			e, err := d.next()
			if err != nil {
				break
			}
			if size += len(e.data); size > len(text) || e.name == "" || strings.ContainsAny(e.name, "\r\n") {
				t.Fatalf("event %q of %d bytes from %q", e.name, len(e.data), text)
			}
		}
		if d.retry < 0 {
			t.Errorf("retry %v", d.retry)
		}
		// What is behind the last end of a line makes no event.
		if cut := strings.LastIndexAny(text, "\r\n"); cut < 0 && size > 0 {
			t.Errorf("%d bytes from an unfinished line", size)
		}
	})
}
