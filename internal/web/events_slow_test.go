package web_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

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
		b.eventually("the request ends", func() bool {
			return strings.Count(b.log.String(), `"msg":"request"`) > ended
		})
		if took := time.Since(begun); took > 10*time.Second {
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
		"all together": {func(c *web.Config) { c.MaxWaiters = 1 }, "192.0.2.1", "192.0.2.2", true},
		"one address": {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "192.0.2.1", "192.0.2.1",
			true},
		"another address": {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "192.0.2.1", "192.0.2.2",
			false},
		"one network of IPv6": {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "2001:db8::1",
			"2001:db8::2", true},
		"two networks of IPv6": {func(c *web.Config) { c.MaxWaitersPerAddress = 1 }, "2001:db8::1",
			"2001:db8:0:1::1", false},
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
					r = b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":10}}`, "Prefer",
						"wait=10", "X-Forwarded-For", c.other)
				} else {
					r = b.do("GET", path, "", "X-Forwarded-For", c.other)
				}
				full := r.header.Get("Retry-After") != ""
				waited := r.header.Get("Longshore-Wait")
				if r.status != status || full != c.full || strings.HasPrefix(path, "/v1/jobs") &&
					waited != map[bool]string{true: "0s", false: "300ms"}[full] {
					t.Errorf("%s: %d, Retry-After %q, Longshore-Wait %q: %s", path, r.status,
						r.header.Get("Retry-After"), waited, r.body)
				}
				if took := time.Since(begun); c.full && took > 8*time.Second {
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
	url, served, cancel := b.serve()
	b.url = url
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
	if err := <-served; err != nil || time.Since(begun) > 20*time.Second {
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
	for _, name := range []string{"lastEventId", "lastEventID", "LastEventId", "last-event-id",
		"Last-Event-ID", "last_event_id"} {
		for path, known := range map[string]string{one + "?": "7", many + "&": string(snap.ID) + ".7"} {
			if r := b.do("GET", path+name+"="+known, ""); r.status != 204 {
				t.Errorf("%s%s: %d, want 204: all is known", path, name, r.status)
			}
			if r := b.do("GET", path+name+"=&_=1", ""); r.status != 200 ||
				!strings.Contains(r.body, "event: state") {
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
	for _, path := range []string{httpapi.JobPath(snap.ID) + "?wait=1s&_=123", httpapi.JobPath(snap.ID) +
		"?t=1", "/v1/jobs?_=1&wait=1s&id=" + string(snap.ID) + ".3"} {
		if r := b.do("GET", path, ""); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	b.do("GET", "/v1/jobs?stat=failed&x=1", "").problem(422, httpapi.Invalid, "?stat", "?x")
	b.do("GET", "/v1/types?x=1", "").problem(422, httpapi.Invalid, "?x")
	b.do("POST", "/v1/jobs?x=1", `{"type":"math.primes","payload":{"n":1}}`).problem(422, httpapi.Invalid, "?x")
}
