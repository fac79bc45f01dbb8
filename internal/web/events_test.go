package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

// An eventStream is an answer of Server-Sent Events, read as it comes.
type eventStream struct {
	b      *bench
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// An event is what one event says, or a comment or retry of its own.
type event struct {
	name, id, data, retry string
	comment               bool
}

// open asks for a stream; headers come in pairs.
func (b *bench) open(path string, headers ...string) *eventStream {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 90*time.Second)
	b.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", b.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	b.authorize(req.Header)
	resp, err := b.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return &eventStream{b, resp, lines, cancel}
}

// next returns what comes until the next empty line; false at the end.
func (s *eventStream) next() (e event, ok bool) {
	s.b.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case s.lines.Text() == "":
			return e, true
		case name == "event":
			e.name = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data = value
		case name == "retry":
			e.retry = value
		case name == "":
			e.comment = true
		default:
			s.b.Fatalf("line %q", s.lines.Text())
		}
	}
	if err := s.lines.Err(); err != nil {
		s.b.Fatalf("stream broke: %v", err)
	}
	return e, false
}

// state returns the next snapshot, and the cursor.
func (s *eventStream) state() (job.Snapshot, string) {
	s.b.Helper()
	e := s.event("state")
	var snap job.Snapshot
	if err := json.Unmarshal([]byte(e.data), &snap); err != nil {
		s.b.Fatalf("event %+v: %v", e, err)
	}
	return snap, e.id
}

func (s *eventStream) event(name string) event {
	s.b.Helper()
	for {
		e, ok := s.next()
		if !ok || e.name != "" && e.name != name {
			s.b.Fatalf("got %+v, %v; want event %s", e, ok, name)
		}
		if e.name == name {
			return e
		}
	}
}

// ends checks that nothing but retries and comments follow.
func (s *eventStream) ends() {
	s.b.Helper()
	for {
		e, ok := s.next()
		if !ok {
			return
		}
		if e.name != "" {
			s.b.Fatalf("got %+v, want the end", e)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	path := httpapi.EventsPath(snap.ID)
	s := b.open(path)
	want := map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform",
		"X-Accel-Buffering": "no", "Retry-After": ""}
	for name, value := range want {
		if got := s.resp.Header.Get(name); got != value || s.resp.StatusCode != 200 {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	e, _ := s.next()
	if ms, err := strconv.Atoi(e.retry); err != nil || ms < 500 || ms > 1500 {
		t.Errorf("begins with %+v, want a retry", e)
	}
	check := func(s *eventStream, rev int64, state job.State) {
		t.Helper()
		got, id := s.state()
		if got.Rev != rev || got.State != state || id != strconv.FormatInt(rev, 10) ||
			got.Links.Events != path {
			t.Errorf("got %+v, id %s; want rev %d %s", got, id, rev, state)
		}
	}
	check(s, 5, job.Running)
	resumed, current := b.open(path, "Last-Event-ID", "5"), b.open(path+"?after=5")
	beyond := b.open(path, "Last-Event-ID", "999")
	check(beyond, 5, job.Running)
	beyond.cancel()
	snap.Rev = 6
	b.put(snap)
	for _, s := range []*eventStream{s, resumed, current} {
		check(s, 6, job.Running)
	}
	snap.Rev, snap.State = 7, job.Succeeded
	b.put(snap)
	for _, s := range []*eventStream{s, resumed, current} {
		check(s, 7, job.Succeeded)
		s.ends()
	}
	again := b.open(path)
	check(again, 7, job.Succeeded)
	again.ends()
	for _, r := range []reply{b.do("GET", path, "", "Last-Event-ID", "7"), b.do("GET", path+"?after=7", "")} {
		if r.status != 204 || r.body != "" {
			t.Errorf("after the end: %d %s", r.status, r.body)
		}
	}
	if r := b.do("HEAD", path, ""); r.status != 200 || r.header.Get("Content-Type") != httpapi.TypeEvents {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token = "t" })
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	path, gone := httpapi.EventsPath(snap.ID), httpapi.EventsPath(job.NewID(time.Now()))
	const key, value = "Authorization", "Bearer t"
	b.do("GET", path, "").problem(401, httpapi.Unauthorized)
	b.do("GET", gone, "", key, value).problem(404, httpapi.NotFound)
	b.do("GET", "/v1/jobs/x/events", "", key, value).problem(422, httpapi.Invalid, "/path/id")
	b.do("GET", path+"?after=x&since=3", "", key, value).problem(422, httpapi.Invalid, "?after")
	b.do("GET", path, "", key, value, "Last-Event-ID", "-1").problem(422, httpapi.Invalid,
		"/headers/Last-Event-ID")
	b.do("GET", "/v1/events", "", key, value).problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/events?id=x", "", key, value).problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/events?id="+string(snap.ID), "", key, value, "Last-Event-ID", "7").
		problem(422, httpapi.Invalid, "/headers/Last-Event-ID")
	b.mu.Lock()
	b.down = errDown
	b.mu.Unlock()
	r := b.do("GET", path, "", key, value)
	r.problem(503, httpapi.Unavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestManyEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two, gone := newSnapshot(job.Running, 5), newSnapshot(job.Succeeded, 3), job.NewID(time.Now())
	b.put(one)
	b.put(two)
	list := func(a, b string) string {
		return string(one.ID) + a + "," + string(two.ID) + b + "," + string(gone)
	}
	s := b.open("/v1/events?id=" + list(".4", ".0"))
	snap, id := s.state()
	if snap.ID != one.ID || snap.Rev != 5 || id != list(".5", ".0")+".0" {
		t.Errorf("%+v, %s", snap, id)
	}
	if snap, id = s.state(); snap.ID != two.ID || id != list(".5", ".3")+".0" {
		t.Errorf("%+v, %s", snap, id)
	}
	if e := s.event("missing"); e.data != `{"id":"`+string(gone)+`","code":"not_found"}` || e.id != id {
		t.Errorf("%+v", e)
	}
	// What the cursor knows is not told again; what it doesn't is.
	resumed := b.open("/v1/events?id="+list("", ""), "Last-Event-ID", id)
	resumed.event("missing")
	one.Rev, one.State = 6, job.Failed
	b.put(one)
	for _, s := range []*eventStream{s, resumed} {
		if snap, id = s.state(); snap.Rev != 6 || id != list(".6", ".3")+".0" {
			t.Errorf("%+v, %s", snap, id)
		}
		s.ends()
	}
	if r := b.do("GET", "/v1/events?id="+list("", ""), "", "Last-Event-ID", id); r.status != 204 {
		t.Errorf("after the end: %d %s", r.status, r.body)
	}
}

// A job that goes while it is followed ends its stream.
func TestEventsOfADeletedJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	s := b.open(httpapi.EventsPath(snap.ID))
	s.state()
	b.mu.Lock()
	delete(b.jobs, snap.ID)
	b.mu.Unlock()
	s.event("missing")
	s.ends()
}

// A stream outlives a job store that is away for a while.
func TestEventsThroughOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	s := b.open(httpapi.EventsPath(snap.ID))
	s.state()
	b.mu.Lock()
	b.down = errDown
	reads := b.reads
	b.mu.Unlock()
	snap.Rev, snap.State = 6, job.Succeeded
	b.put(snap)
	b.eventually("the stream has looked in vain", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.reads > reads
	})
	b.mu.Lock()
	b.down = nil
	b.mu.Unlock()
	if got, _ := s.state(); got.Rev != 6 {
		t.Errorf("got %+v", got)
	}
	s.ends()
}

// eventually polls for what nobody tells.
func (b *bench) eventually(what string, condition func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for patience := time.After(90 * time.Second); !condition(); {
		select {
		case <-tick.C:
		case <-patience:
			b.Fatalf("not within 10 s: %s\n%s", what, b.log.String())
		}
	}
}

func TestEventsHeartbeat(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Heartbeat = 10 * time.Millisecond })
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	s := b.open(httpapi.EventsPath(snap.ID))
	s.state()
	for range 3 {
		if e, ok := s.next(); !ok || !e.comment {
			t.Errorf("got %+v, want a heartbeat", e)
		}
	}
}
