package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
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
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
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
	want := map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Retry-After": ""}
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
		if got.Rev != rev || got.State != state || id != strconv.FormatInt(rev, 10) || got.Links.Events != path {
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
	b.do("GET", path, "", key, value, "Last-Event-ID", "-1").problem(422, httpapi.Invalid, "/headers/Last-Event-ID")
	b.do("GET", "/v1/events", "", key, value).problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/events?id=x", "", key, value).problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/events?id="+string(snap.ID), "", key, value, "Last-Event-ID", "7").problem(422, httpapi.Invalid, "/headers/Last-Event-ID")
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
	list := func(a, b string) string { return string(one.ID) + a + "," + string(two.ID) + b + "," + string(gone) }
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
	for patience := time.After(10 * time.Second); !condition(); {
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

// big is a job whose snapshot has some size.
func big(rev int64) job.Snapshot {
	snap := newSnapshot(job.Running, rev)
	snap.Result = json.RawMessage(`"` + strings.Repeat("x", 60_000) + `"`)
	return snap
}

// A client that reads slowly gets the newest state, not all that was.
func TestEventsCoalesce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := big(1)
	b.put(snap)
	s := b.open(httpapi.EventsPath(snap.ID))
	s.state()
	const last = 1000
	for rev := int64(2); rev <= last; rev++ {
		snap.Rev = rev
		if rev == last {
			snap.State = job.Succeeded
		}
		b.put(snap)
	}
	n, rev := 0, int64(1)
	for rev < last {
		got, _ := s.state()
		if got.Rev <= rev {
			t.Fatalf("rev %d after %d", got.Rev, rev)
		}
		rev = got.Rev
		n++
	}
	s.ends()
	if n > last/2 {
		t.Errorf("%d events of %d changes", n, last)
	}
}

// A client that never reads is cut off, and what it held is let go.
func TestEventsNeverRead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle, c.MaxWaiters = 300*time.Millisecond, 2 })
	snap := big(1)
	b.put(snap)
	deaf := b.dial("GET " + httpapi.EventsPath(snap.ID) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	defer deaf.Close()
	other := b.open(httpapi.EventsPath(snap.ID))
	other.state()
	b.eventually("the client is cut off", func() bool {
		snap.Rev++
		b.put(snap)
		for rev := int64(0); rev < snap.Rev; {
			got, _ := other.state() // the other one is served as ever
			rev = got.Rev
		}
		return strings.Contains(b.log.String(), `"cut":true`)
	})
	s := b.open(httpapi.EventsPath(snap.ID))
	if s.resp.Header.Get("Retry-After") != "" {
		t.Error("the place of the client that was cut off is not free")
	}
}

// A client that leaves is noticed at once and costs nothing any more.
func TestEventsClientGone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWaiters = 1 })
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	for range 3 {
		s := b.open(httpapi.EventsPath(snap.ID))
		if s.resp.Header.Get("Retry-After") != "" {
			t.Fatal("the place is not free")
		}
		s.state()
		ended := strings.Count(b.log.String(), `"msg":"request"`)
		begun := time.Now()
		s.cancel()
		b.eventually("the request ends", func() bool { return strings.Count(b.log.String(), `"msg":"request"`) > ended })
		if took := time.Since(begun); took > time.Second {
			t.Errorf("noticed after %v", took)
		}
	}
}

// Beyond the caps everybody is answered at once, with the state and Retry-After.
func TestWaiterCaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		caps         func(*web.Config)
		first, other string // the clients' addresses
		full         bool
	}{
		"all together":         {func(c *web.Config) { c.MaxWaiters = 1 }, "192.0.2.1", "192.0.2.2", true},
		"one address":          {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "192.0.2.1", "192.0.2.1", true},
		"another address":      {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "192.0.2.1", "192.0.2.2", false},
		"one network of IPv6":  {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "2001:db8::1", "2001:db8::2", true},
		"two networks of IPv6": {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "2001:db8::1", "2001:db8:0:1::1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.caps, func(c *web.Config) {
				c.MaxWait = 300 * time.Millisecond
			}, behindProxy)
			snap := newSnapshot(job.Running, 5)
			b.put(snap)
			s := b.open(httpapi.EventsPath(snap.ID), "X-Forwarded-For", c.first)
			s.state()
			one := httpapi.JobPath(snap.ID)
			for path, status := range map[string]int{
				one + "?wait=10s": 200,
				"/v1/jobs?wait=10s&id=" + string(snap.ID) + ".5":    200,
				one + "?wait=10s&after=4":                           200,
				"POST /v1/jobs {\"type\":\"math.primes\",\"n\":10}": 202,
			} {
				begun := time.Now()
				var r reply
				if strings.HasPrefix(path, "POST") {
					r = b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":10}}`, "Prefer", "wait=10", "X-Forwarded-For", c.other)
				} else {
					r = b.do("GET", path, "", "X-Forwarded-For", c.other)
				}
				full := r.header.Get("Retry-After") != ""
				waited := r.header.Get("Longshore-Wait")
				if r.status != status || full != c.full || strings.HasPrefix(path, "/v1/jobs") && waited != map[bool]string{true: "0s", false: "300ms"}[full] {
					t.Errorf("%s: %d, Retry-After %q, Longshore-Wait %q: %s", path, r.status, r.header.Get("Retry-After"), waited, r.body)
				}
				if took := time.Since(begun); c.full && took > 200*time.Millisecond {
					t.Errorf("%s: answered after %v", path, took)
				}
			}
			stream := b.open(httpapi.EventsPath(snap.ID), "X-Forwarded-For", c.other)
			if got, _ := stream.state(); got.Rev != 5 {
				t.Errorf("stream: %+v", got)
			}
			if c.full {
				stream.ends()
			}
			if full := stream.resp.Header.Get("Retry-After") != ""; full != c.full {
				t.Errorf("stream: full %v", full)
			}
		})
	}
}

// At shutdown streams end cleanly and say when to come back.
func TestEventsShutdown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(ctx, l) }()
	s := b.open(httpapi.EventsPath(snap.ID))
	s.state()
	conn := b.socket(nil)
	conn.subscribe(job.Rev{ID: snap.ID})
	conn.state(5)
	begun := time.Now()
	cancel()
	e, ok := s.next()
	if !ok || e.retry == "" {
		t.Errorf("got %+v, want retry", e)
	}
	s.ends()
	conn.closes(1001)
	if err := <-served; err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("Serve: %v after %v", err, time.Since(begun))
	}
}

// Libraries that can't set a header send the cursor as a parameter, and some add a
// parameter of no meaning against caches.
func TestEventsOfLibraries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Succeeded, 7)
	b.put(snap)
	one, many := httpapi.EventsPath(snap.ID), httpapi.PathEvents+"?id="+string(snap.ID)
	for _, name := range []string{"lastEventId", "lastEventID", "LastEventId", "last-event-id", "Last-Event-ID", "last_event_id"} {
		for path, known := range map[string]string{one + "?": "7", many + "&": string(snap.ID) + ".7"} {
			if r := b.do("GET", path+name+"="+known, ""); r.status != 204 {
				t.Errorf("%s%s: %d, want 204: all is known", path, name, r.status)
			}
			if r := b.do("GET", path+name+"=&_=1", ""); r.status != 200 || !strings.Contains(r.body, "event: state") {
				t.Errorf("%s%s without a value: %d", path, name, r.status)
			}
			b.do("GET", path+name+"=x", "").problem(422, httpapi.Invalid, "?"+name)
		}
	}
	if r := b.do("GET", one+"?lastEventId=1&lastEventId=7&_=123", ""); r.status != 204 {
		t.Errorf("twice: %d, want 204: the last one counts", r.status)
	}
	if r := b.do("GET", one+"?lastEventId=1", "", "Last-Event-ID", "7"); r.status != 204 {
		t.Errorf("beside the header: %d, want 204: the header counts", r.status)
	}
	for _, path := range []string{httpapi.JobPath(snap.ID) + "?wait=1s&_=123", httpapi.JobPath(snap.ID) + "?t=1", "/v1/jobs?_=1&wait=1s&id=" + string(snap.ID) + ".3"} {
		if r := b.do("GET", path, ""); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	b.do("GET", "/v1/jobs?stat=failed&x=1", "").problem(422, httpapi.Invalid, "?stat", "?x")
	b.do("GET", "/v1/types?x=1", "").problem(422, httpapi.Invalid, "?x")
	b.do("POST", "/v1/jobs?x=1", `{"type":"math.primes","payload":{"n":1}}`).problem(422, httpapi.Invalid, "?x")
}
