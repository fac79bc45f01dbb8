//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

func primesOf(n int, change func(*client.Submission)) client.Submission {
	s := client.Submission{Type: "math.primes", Payload: map[string]int{"n": n}}
	if change != nil {
		change(&s)
	}
	return s
}

func look(t *testing.T, c *client.Client, id job.ID) job.Snapshot {
	t.Helper()
	snap, err := c.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// TestHeldUntilReleased holds a job, and one that is after it, until an operator releases it; both are
// followed from the first on.
func TestHeldUntilReleased(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	held := submit(t, c, primesOf(100, func(s *client.Submission) { s.Hold = "does it look right?" }))
	after := submit(t, c, primesOf(101, func(s *client.Submission) { s.After = []job.ID{held.ID} }))
	var following sync.WaitGroup
	books := map[string]*book{}
	for name, follow := range map[string]follower{"long-poll": each(followByLongPoll), "SSE": each(followByEvents),
		"WebSocket": followBySocket, "Go client": followByClient} {
		b := newBook(t, name)
		books[name] = b
		following.Go(func() {
			if err := follow(t.Context(), url, []job.ID{held.ID, after.ID}, b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	snap := look(t, c, held.ID)
	if snap.State != job.Awaiting || !snap.Held() || snap.Hold.Why != "does it look right?" || snap.ExpiresAt == nil ||
		time.Until(*snap.ExpiresAt) < 29*24*time.Hour {
		t.Errorf("held: %+v", snap)
	}
	eventually(t, "it is said what they wait for", func() bool {
		return look(t, c, held.ID).WaitingFor == job.WaitingRelease &&
			look(t, c, after.ID).WaitingFor == job.WaitingJobs
	})
	in.env = append(in.env, "LONGSHORE_URL="+url)
	if code, out, stderr := call(t, "", in.env, "enqueue", "get", string(held.ID)); code != 0 ||
		!strings.Contains(out, "does it look right?") {
		t.Errorf("status: %d %s %s", code, out, stderr)
	}
	for range 2 {
		if code, out, stderr := call(t, "", in.env, "enqueue", "release", string(held.ID)); code != 0 {
			t.Errorf("release: %d %s %s", code, out, stderr)
		}
	}
	if snap := wait(t, c, after.ID); snap.State != job.Succeeded || snap.After[0].State != job.Succeeded {
		t.Errorf("after it: %+v", snap)
	}
	first, second := look(t, c, held.ID), look(t, c, after.ID)
	if second.StartedAt.Before(*first.FinishedAt) || first.Hold.ReleasedAt == nil {
		t.Errorf("began %v, the one before ended %v: %+v", second.StartedAt, first.FinishedAt, first.Hold)
	}
	following.Wait()
	for name, b := range books {
		if b.told < 4 || b.ends[held.ID] != tupleOf(first) || b.ends[after.ID] != tupleOf(second) {
			t.Errorf("%s told %d changes, and the ends %+v", name, b.told, b.ends)
		}
	}
	if code, out, stderr := call(t, "", in.env, "enqueue", "timeline", string(held.ID)); code != 0 ||
		!strings.Contains(out, "released") {
		t.Errorf("its story: %s %s", out, stderr)
	}
	code, _, stderr := call(t, "", in.env, "enqueue", "release", string(after.ID))
	if code == 0 || !strings.Contains(stderr, "never held") {
		t.Errorf("release of one that isn't held: %d %s", code, stderr)
	}
	again := submit(t, c, primesOf(103, func(s *client.Submission) { s.Hold = "a yes" }))
	if _, err := c.Cancel(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}
	if snap, err := c.Retry(t.Context(), again.ID); err != nil || !snap.Held() {
		t.Errorf("a retry gets round the hold: %v %+v", err, snap)
	}
}

// TestAfterFailure ends what is after a job that failed, unless that was to run anyway.
func TestAfterFailure(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	fails := submit(t, c, primesOf(2_000_000_000, func(s *client.Submission) {
		s.MaxAttempts, s.Timeout = 1, 200*time.Millisecond
	}))
	falls := submit(t, c, primesOf(1, func(s *client.Submission) { s.After = []job.ID{fails.ID} }))
	last := submit(t, c, primesOf(2, func(s *client.Submission) { s.After = []job.ID{falls.ID} }))
	runs := submit(t, c, primesOf(3, func(s *client.Submission) {
		s.After, s.OnFailure = []job.ID{fails.ID, falls.ID}, "run"
	}))
	for _, id := range []job.ID{falls.ID, last.ID} {
		if snap := wait(t, c, id); snap.State != job.Canceled || snap.Error == nil ||
			snap.Error.Code != job.DependencyFailed {
			t.Errorf("ended as %+v", snap)
		}
	}
	if snap := wait(t, c, runs.ID); snap.State != job.Succeeded || snap.After[0].State != job.Failed ||
		snap.After[1].State != job.Canceled {
		t.Errorf("ended as %+v", snap)
	}
	id := string(fails.ID)
	many := `"` + strings.Repeat(id+`","`, 3) + id + `"`
	var ids []string
	for range 101 {
		ids = append(ids, `"`+string(job.NewID(time.Now()))+`"`)
	}
	for body, pointer := range map[string]string{
		`"after":["` + string(job.NewID(time.Now())) + `"]`: "/after/0",
		`"after":["` + id + `","nothing"]`:                  "/after/1",
		`"after":[7]`:                                       "/after",
		`"after":"` + id + `"`:                              "/after",
		`"after":[` + strings.Join(ids, ",") + `]`:          "/after",
		`"on_failure":"run"`:                                "/on_failure",
		`"after":[` + many + `],"on_failure":"no"`:          "/on_failure",
		`"hold":"` + strings.Repeat("x", 201) + `"`:         "/hold",
		`"hold":"two\nlines"`:                               "/hold",
	} {
		r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(`{"type":"math.primes","payload":{"n":1},`+body+`}`))
		p := r.problem(t, http.StatusUnprocessableEntity, httpapi.Invalid)
		if len(p.Errors) == 0 || p.Errors[0].Pointer != pointer {
			t.Errorf("%.60s: %+v", body, p.Errors)
		}
	}
	r := request(t, "POST", url+httpapi.ReleasePath(fails.ID), nil)
	r.problem(t, http.StatusConflict, httpapi.Conflict)
	r = request(t, "POST", url+httpapi.ReleasePath(job.NewID(time.Now())), nil)
	r.problem(t, http.StatusNotFound, httpapi.NotFound)
}

// TestGraph runs a graph of jobs that names itself in one batch, while workers are killed: each job
// begins when all before it have ended.
func TestGraph(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	const wide, deep = 20, 15
	var lines [][]byte
	ids, before := make([][]job.ID, deep), map[job.ID][]job.ID{}
	for level := range ids {
		for i := range wide {
			id := job.NewID(time.Now())
			ids[level] = append(ids[level], id)
			if level > 0 {
				for j := range 3 {
					before[id] = append(before[id], ids[level-1][(i+j)%wide])
				}
			}
			after, _ := json.Marshal(before[id])
			lines = append(lines, fmt.Appendf(nil, `{"type":"math.primes","payload":{"n":%d},"id":"%s","after":%s}`,
				5_000_000+level, id, after))
		}
	}
	taken := 0
	for answer, err := range c.SubmitLines(t.Context(), lines) {
		if err != nil || answer.Code != "" {
			t.Fatalf("line %d: %v, %s", answer.Line, err, answer.Detail)
		}
		taken++
	}
	if taken != wide*deep {
		t.Fatalf("%d lines were taken", taken)
	}
	ended := func() int64 {
		counts, err := c.Count(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return counts.Counts[job.Succeeded]
	}
	for range 3 {
		seen := ended()
		eventually(t, "more have ended", func() bool { return ended() > seen+20 || ended() == wide*deep })
		worker.signal(syscall.SIGKILL)
		worker = in.worker(t)
	}
	ends := map[job.ID]job.Snapshot{}
	for _, level := range ids {
		for _, id := range level {
			ends[id] = wait(t, c, id)
			if ends[id].State != job.Succeeded {
				t.Fatalf("ended as %+v", ends[id])
			}
			for _, one := range before[id] {
				if ends[id].StartedAt.Before(*ends[one].FinishedAt) {
					t.Errorf("%s began at %v, and %s ended at %v", id, ends[id].StartedAt, one, ends[one].FinishedAt)
				}
			}
		}
	}
}
