package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

func TestGetJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Succeeded, 4)
	b.output(&snap, "a b.txt", "text/plain", "hi")
	b.put(snap)
	got := b.do("GET", "/v1/jobs/"+string(snap.ID), "")
	if got.status != 200 || got.header.Get("ETag") != `"4"` || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v", got.status, got.header)
	}
	self := "/v1/jobs/" + string(snap.ID)
	want := &job.Links{Self: self, Events: self + "/events", Result: self + "/result"}
	if diff := cmp.Diff(want, got.snapshot().Links); diff != "" {
		t.Errorf("links -want +got:\n%s", diff)
	}
	if href := got.snapshot().Outputs[0].Href; href != self+"/outputs/a%20b.txt" {
		t.Errorf("href %s", href)
	}
	if strings.Contains(got.body, "$schema") || strings.Contains(got.body, "/f/") {
		t.Errorf("answer tells too much: %s", got.body)
	}
	for _, tag := range []string{`"4"`, `W/"4"`, `"3", "4"`, `*`} {
		if r := b.do("GET", self, "", "If-None-Match", tag); r.status != 304 || r.body != "" {
			t.Errorf("If-None-Match %s: %d %q", tag, r.status, r.body)
		}
	}
	if r := b.do("GET", self, "", "If-None-Match", `"44"`); r.status != 200 {
		t.Errorf("other tag: %d", r.status)
	}
	if r := b.do("HEAD", self, ""); r.status != 200 || r.body != "" {
		t.Errorf("HEAD: %d %q", r.status, r.body)
	}
}

func TestGetJobRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	missing := "/v1/jobs/" + string(job.NewID(time.Now()))
	b.do("GET", missing, "").problem(404, httpapi.NotFound)
	b.do("GET", missing+"?wait=20s", "").problem(404, httpapi.NotFound)
	b.do("GET", "/v1/jobs/42", "").problem(422, httpapi.Invalid, "/path/id")
	b.do("GET", "/v1/jobs/%7Bevil%7D%0d%0aX:1", "").problem(422, httpapi.Invalid, "/path/id")
	b.do("GET", "/v1/jobs/..%2f..%2fetc%2fpasswd", "").problem(422, httpapi.Invalid, "/path/id")
	b.do("GET", missing+"?wait=soon", "").problem(422, httpapi.Invalid, "?wait")
	b.do("GET", missing+"?after=-1&until=x", "").problem(422, httpapi.Invalid, "?until", "?after")
	b.do("GET", missing+"?after=x", "").problem(422, httpapi.Invalid, "?after")
	b.do("GET", missing+"?wiat=3s", "").problem(404, httpapi.NotFound) // ignored
	b.do("GET", missing+"?wait=%zz", "").problem(400, httpapi.Invalid)
	b.do("GET", missing+"?a;b", "").problem(400, httpapi.Invalid)
}

func TestLongPollAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, done := newSnapshot(job.Running, 5), newSnapshot(job.Failed, 7)
	b.put(running)
	b.put(done)
	for _, c := range []struct {
		id    job.ID
		query string
	}{
		{done.ID, "wait=25s"},
		{done.ID, "wait=25s&until=done"},
		{done.ID, "wait=25s&until=done&after=7"},
		{done.ID, "wait=25s&after=6"},
		{done.ID, "wait=25s&after=9"},
		{running.ID, "wait=25s&after=4"},
		{running.ID, "wait=25s&after=0"},
		{running.ID, "wait=25s&after=99"},
		{running.ID, "wait=25s&until=change&after=4"},
		{running.ID, "wait=0"},
		{running.ID, "wait=-3s"},
		{running.ID, "after=5"},
	} {
		begun := time.Now()
		got := b.do("GET", "/v1/jobs/"+string(c.id)+"?"+c.query, "")
		if took := time.Since(begun); got.status != 200 || took > 20*time.Second {
			t.Errorf("%s: %d after %v", c.query, got.status, took)
		}
	}
}

func TestLongPollWaits(t *testing.T) {
	t.Parallel()
	for query, until := range map[string]job.State{
		"wait=25s":                    job.Succeeded,
		"wait=25s&until=done&after=5": job.Succeeded,
		"wait=25s&after=5":            job.Running,
		"wait=25s&until=change":       job.Running,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			snap := newSnapshot(job.Running, 5)
			b.put(snap)
			replies := make(chan reply, 1)
			go func() { replies <- b.do("GET", "/v1/jobs/"+string(snap.ID)+"?"+query, "") }()
			for rev := int64(6); ; rev++ {
				select {
				case got := <-replies:
					if s := got.snapshot(); s.State != until || got.header.Get("Longshore-Wait") != "25s" {
						t.Errorf("got %s, Longshore-Wait %q", s.State, got.header.Get("Longshore-Wait"))
					}
					return
				case <-time.After(10 * time.Millisecond): // it may not wait yet
				}
				snap.Rev = rev
				if rev > 20 {
					snap.State = job.Succeeded
				}
				b.put(snap)
			}
		})
	}
}

func TestLongPollEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWait = 100 * time.Millisecond })
	running, done := newSnapshot(job.Running, 5), newSnapshot(job.Succeeded, 7)
	b.put(running)
	b.put(done)
	for _, c := range []struct {
		id    job.ID
		query string
	}{
		{running.ID, "wait=25s"},
		{running.ID, "wait=99999999999999999999h"},
		{running.ID, "wait=99999999999999999999"},
		{running.ID, "wait=25s&after=5"},
		{done.ID, "wait=25s&after=7"}, // nothing will ever change
	} {
		begun := time.Now()
		got := b.do("GET", "/v1/jobs/"+string(c.id)+"?"+c.query, "")
		if took := time.Since(begun); got.status != 200 || took < 90*time.Millisecond ||
			got.header.Get("Longshore-Wait") != "100ms" {
			t.Errorf("%s: %d after %v, Longshore-Wait %q", c.query, got.status, took,
				got.header.Get("Longshore-Wait"))
		}
	}
	if r := b.do("GET", "/v1/jobs/"+string(running.ID)+"?wait=1s&after=5", "", "If-None-Match",
		`"5"`); r.status != 304 {
		t.Errorf("unchanged after the wait: %d", r.status)
	}
}

func TestWaitForMany(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWait = 100 * time.Millisecond })
	one, two := newSnapshot(job.Running, 3), newSnapshot(job.Succeeded, 7)
	b.put(one)
	b.put(two)
	gone := job.NewID(time.Now())
	ids := func(path string) (jobs []job.ID, missing []job.ID) {
		t.Helper()
		r := b.do("GET", path, "")
		var list httpapi.JobList
		if err := json.Unmarshal([]byte(r.body), &list); err != nil || r.status != 200 || list.Jobs == nil {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		for _, j := range list.Jobs {
			jobs = append(jobs, j.ID)
		}
		return jobs, list.Missing
	}
	query := func(oneRev, twoRev int) string {
		return fmt.Sprintf("%s.%d,%s.%d", one.ID, oneRev, two.ID, twoRev)
	}
	if jobs, _ := ids("/v1/jobs?wait=25s&id=" + query(3, 0)); !slices.Equal(jobs, []job.ID{two.ID}) {
		t.Errorf("one moved: got %v", jobs)
	}
	if jobs, _ := ids("/v1/jobs?id=" + query(2, 7)); !slices.Equal(jobs, []job.ID{one.ID}) {
		t.Errorf("without wait: got %v", jobs)
	}
	if jobs, _ := ids("/v1/jobs?wait=25s&id=" + query(3, 7)); jobs != nil {
		t.Errorf("none moved: got %v", jobs)
	}
	if jobs, _ := ids("/v1/jobs?wait=25s&until=done&id=" + query(1, 7)); !slices.Equal(jobs,
		[]job.ID{two.ID}) {
		t.Errorf("one ended: got %v", jobs)
	}
	if jobs, missing := ids("/v1/jobs?wait=25s&id=" + query(3, 7) + "," + string(gone) + ".5"); jobs != nil ||
		!slices.Equal(missing, []job.ID{gone}) {
		t.Errorf("one missing: got %v, missing %v", jobs, missing)
	}
	b.do("GET", "/v1/jobs?id="+strings.Repeat(string(gone)+",", 100)+string(gone), "").
		problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/jobs?id=x.1", "").problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/jobs?state=queued&id="+string(gone), "").problem(422, httpapi.Invalid, "?id")
	b.do("GET", "/v1/jobs?wait=3s", "").problem(422, httpapi.Invalid, "?wait")
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []job.ID
	for i := range 7 {
		snap := newSnapshot(job.Queued, 1)
		snap.ID = job.NewID(time.Now().Add(time.Duration(-i) * time.Second))
		want = append(want, snap.ID)
		b.put(snap)
	}
	b.put(newSnapshot(job.Failed, 2))
	var got []job.ID
	for path := "/v1/jobs?state=queued&limit=3"; path != ""; {
		r := b.do("GET", path, "")
		var list httpapi.JobList
		if err := json.Unmarshal([]byte(r.body), &list); err != nil || r.status != 200 || len(list.Jobs) > 3 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, j := range list.Jobs {
			got = append(got, j.ID)
		}
		path = ""
		if list.Next != "" {
			path = "/v1/jobs?state=queued&limit=3&cursor=" + list.Next
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r := b.do("GET", "/v1/jobs?type=no.such",
		""); strings.TrimSpace(r.body) != `{"jobs":[],"scanned":8,"complete":true}` {
		t.Errorf("empty list: %s", r.body)
	}
	b.do("GET", "/v1/jobs?limit=0", "").problem(422, httpapi.Invalid, "?limit")
	b.do("GET", "/v1/jobs?limit=1001&state=lost&cursor=!!", "").problem(422, httpapi.Invalid, "?state",
		"?limit", "?cursor")
	for _, state := range job.States {
		if r := b.do("GET", "/v1/jobs?state="+string(state), ""); r.status != 200 {
			t.Errorf("state %s: %d", state, r.status)
		}
	}
}

func TestCancelRetryDelete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, done := newSnapshot(job.Running, 5), newSnapshot(job.Failed, 7)
	b.put(running)
	b.put(done)
	path := func(s job.Snapshot) string { return "/v1/jobs/" + string(s.ID) }
	if r := b.do("POST", path(running)+"/cancel", ""); r.status != 202 || !r.snapshot().CancelRequested {
		t.Errorf("cancel running: %d %s", r.status, r.body)
	}
	if r := b.do("POST", path(done)+"/cancel", ""); r.status != 200 || r.snapshot().State != job.Failed {
		t.Errorf("cancel ended: %d %s", r.status, r.body)
	}
	r := b.do("POST", path(done)+"/retry", "")
	if r.status != 202 || r.snapshot().RetryOf != done.ID || r.header.Get("Location") != path(r.snapshot()) {
		t.Errorf("retry: %d %v %s", r.status, r.header, r.body)
	}
	b.do("DELETE", path(running), "").problem(409, httpapi.Conflict)
	if r := b.do("DELETE", path(done), ""); r.status != 204 || r.body != "" {
		t.Errorf("delete: %d %s", r.status, r.body)
	}
	b.do("DELETE", path(done), "").problem(404, httpapi.NotFound)
	b.do("POST", path(done)+"/cancel", "").problem(404, httpapi.NotFound)
	b.do("POST", path(done)+"/retry", "").problem(404, httpapi.NotFound)
	b.do("POST", "/v1/jobs/x/cancel", "").problem(422, httpapi.Invalid, "/path/id")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var types httpapi.TypeList
	if r := b.do("GET", "/v1/types", ""); json.Unmarshal([]byte(r.body), &types) != nil || r.status != 200 {
		t.Fatalf("types: %d %s", r.status, r.body)
	}
	if i := slices.IndexFunc(types.Types, func(i httpapi.TypeInfo) bool {
		return i.Type == "log.analyze"
	}); i < 0 ||
		types.Types[i].Input != "required" || !strings.Contains(string(types.Types[i].Schema), `"top"`) {
		t.Errorf("types: %+v", types)
	}
	if r := b.do("GET", "/v1/queues", ""); r.status != 200 || !strings.Contains(r.body, `"queue":"io-high"`) {
		t.Errorf("queues: %d %s", r.status, r.body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := b.do("GET", path, ""); r.status != 200 || strings.TrimSpace(r.body) != `{"status":"ok"}` {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mu.Lock()
	b.down = fmt.Errorf("get job: %w", errDown)
	b.mu.Unlock()
	path := "/v1/jobs/" + string(job.NewID(time.Now()))
	for _, c := range [][3]string{
		{"GET", path}, {"GET", path + "?wait=20s"}, {"POST", path + "/cancel"}, {"DELETE", path},
		{"GET", path + "/result"}, {"GET", "/v1/jobs"}, {"GET", "/v1/jobs?id=" + path[len("/v1/jobs/"):] +
			"&wait=20s"}, {"GET", "/v1/queues"}, {"GET", "/readyz"},
		{"POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":1}}`},
		{"POST", "/v1/jobs/log.analyze", "x"},
	} {
		r := b.do(c[0], c[1], c[2])
		r.problem(503, httpapi.Unavailable)
		if after := r.header.Get("Retry-After"); after == "" || after == "0" {
			t.Errorf("%s %s: Retry-After %q", c[0], c[1], after)
		}
		if strings.Contains(r.body, "6379") {
			t.Errorf("%s %s: inner text in %s", c[0], c[1], r.body)
		}
	}
	if r := b.do("GET", "/healthz", ""); r.status != 200 {
		t.Errorf("healthz: %d", r.status)
	}
	if !strings.Contains(b.log.String(), "6379") {
		t.Error("the cause is not in the log")
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.crash = true
	r := b.do("GET", "/v1/jobs/"+string(job.NewID(time.Now())), "")
	r.problem(http.StatusInternalServerError, httpapi.Internal)
	if strings.Contains(r.body, "secret") || strings.Contains(r.body, "goroutine") {
		t.Errorf("inner text in %s", r.body)
	}
	if log := b.log.String(); !strings.Contains(log, "setup_test.go") ||
		!strings.Contains(log, "handler panicked") {
		t.Errorf("no stack in the log:\n%s", log)
	}
	b.mu.Lock()
	b.crash = false
	b.mu.Unlock()
	if r := b.do("GET", "/healthz", ""); r.status != 200 {
		t.Errorf("afterwards: %d", r.status)
	}
}

// Lists beyond some at a time wait for their turn, and not for ever.
func TestListsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := make(chan struct{})
	b.holdLists = hold
	answers := make(chan reply)
	const asked = 6 // four are read at a time
	for range asked {
		go func() { answers <- b.do("GET", "/v1/jobs?type=no.such", "") }()
	}
	for range asked - 4 {
		r := <-answers
		r.problem(429, httpapi.RateLimited)
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	for range 4 {
		<-hold
	}
	for range 4 {
		if r := <-answers; r.status != 200 {
			t.Errorf("a list that had its turn: %d %s", r.status, r.body)
		}
	}
}
