//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestStrictOrderByKey is a consumer of webhooks: the events of each customer are run in their order,
// also while one backs off, or its worker is killed; those of other customers go on.
func TestStrictOrderByKey(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	write(t, filepath.Join(folder, "hooks.consume"), map[string]string{
		"function.json": `{"input": "none", "max_attempts": 5}`,
		"main.sh": `#!/bin/sh
if [ "$LONGSHORE_ATTEMPT" -le 2 ] && grep -q '"fails": *true' "$LONGSHORE_PAYLOAD"; then exit 3; fi
`})
	in := install(t, "FUNCTIONS_DIR="+folder)
	_, url := in.web(t)
	worker := in.worker(t)
	served(t, url, "hooks.consume")
	c := clientOf(t, url)
	spec := client.LimitSpec{Per: []string{"key"}, Concurrency: 1, Keep: "end",
		Match: client.LimitMatch{Type: "hooks.*"}}
	if l, err := c.PutLimit(t.Context(), "order", spec); err != nil || l.Concurrency != 1 || l.Keep != "end" {
		t.Fatalf("%+v, %v", l, err)
	}
	const customers, events = 30, 8
	var all []client.Submission
	for i := range customers * events {
		all = append(all, client.Submission{Type: "hooks.consume", LimitKey: fmt.Sprintf("customer %d", i%customers),
			Payload: map[string]any{"n": i / customers, "fails": i%20 == 7}})
	}
	ids := make([]job.ID, len(all))
	for answer, err := range c.SubmitBatch(t.Context(), func(yield func(client.Submission) bool) {
		for _, s := range all {
			if !yield(s) {
				return
			}
		}
	}) {
		if err != nil || answer.Code != "" {
			t.Fatalf("line %d: %v %s", answer.Line, err, answer.Detail)
		}
		ids[answer.Line-1] = answer.ID
	}
	eventually(t, "some wait for the limit, and say so", func() bool {
		snap := look(t, c, ids[len(ids)-1])
		return snap.Done || snap.WaitingFor == job.WaitingLimit && snap.Limit == "order" &&
			snap.LimitKey == fmt.Sprintf("customer %d", customers-1)
	})
	for range 2 {
		eventually(t, "something runs", func() bool { return count(t, c, job.Running) > 0 })
		worker.signal(syscall.SIGKILL)
		worker = in.worker(t)
	}
	before := map[string]job.Snapshot{}
	retried := 0
	for i, id := range ids {
		snap := wait(t, c, id)
		if snap.State != job.Succeeded {
			t.Fatalf("event %d ended as %+v", i, snap)
		}
		if snap.Attempt > 1 {
			retried++
		}
		if last, ok := before[snap.LimitKey]; ok && snap.StartedAt.Before(*last.FinishedAt) {
			t.Errorf("event %d of %s began at %v, the one before ended at %v", i, snap.LimitKey, snap.StartedAt,
				last.FinishedAt)
		}
		before[snap.LimitKey] = snap
	}
	if retried < customers*events/20 {
		t.Errorf("invalid run: only %d failed first", retried)
	}
}

func count(t *testing.T, c *client.Client, state job.State) int64 {
	t.Helper()
	counts, err := c.Count(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return counts.Counts[state]
}

// TestAtOnceByKey bounds one customer's jobs, and no other's; lowered, raised and removed it holds at once.
func TestAtOnceByKey(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=8")
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	in.env = append(in.env, "LONGSHORE_URL="+url)
	limit := func(args ...string) {
		t.Helper()
		if code, out, stderr := call(t, "", in.env, "enqueue", append([]string{"limits"}, args...)...); code != 0 {
			t.Fatalf("limits %v: %d %s %s", args, code, out, stderr)
		}
	}
	limit("put", "customers", "--per", "key", "--concurrency", "2")
	long := func(key string) job.ID {
		return submit(t, c, primesOf(90_000_000_000, func(s *client.Submission) { s.LimitKey = key })).ID
	}
	var acme []job.ID
	for range 6 {
		acme = append(acme, long("acme"))
	}
	running := func(n int64) func() bool { return func() bool { return count(t, c, job.Running) == n } }
	eventually(t, "two of acme run", running(2))
	other := long("other")
	eventually(t, "another customer's runs beside", running(3))
	if snap := look(t, c, acme[5]); snap.State != job.Queued || snap.Limit != "customers" {
		t.Errorf("the last of acme: %+v", snap)
	}
	code, out, _ := call(t, "", in.env, "enqueue", "timeline", string(acme[5]))
	if code != 0 || !strings.Contains(out, "limit") || !strings.Contains(out, string(acme[0])) &&
		!strings.Contains(out, string(acme[1])) {
		t.Errorf("timeline doesn't say who holds the slots: %s", out)
	}
	cancel := func(ids ...job.ID) {
		t.Helper()
		for _, id := range ids {
			if _, err := c.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel(acme[0], other)
	eventually(t, "the third takes the place of the first", func() bool {
		return look(t, c, acme[2]).State == job.Running && running(2)()
	})
	limit("put", "customers", "--per", "key", "--concurrency", "4")
	eventually(t, "raised, four run", running(4))
	limit("rm", "customers")
	eventually(t, "removed, all run", running(5))
	cancel(acme...)
	for body, pointer := range map[string]string{
		`{"concurrency":0}`:                    "/concurrency",
		`{"concurrency":2,"keep":"ever"}`:      "/keep",
		`{"depth":2,"keep":"end"}`:             "/keep",
		`{"depth":2,"per":["key"]}`:            "/per",
		`{"depth":2,"match":{"key":"a"}}`:      "/match/key",
		`{"concurrency":1,"match":{"key":""}}`: "/match/key",
		`{"rate":{"n":0,"per":"1s"}}`:          "/rate/n",
	} {
		p := request(t, "PUT", url+httpapi.LimitPath("bad"), strings.NewReader(body)).
			problem(t, http.StatusUnprocessableEntity, httpapi.Invalid)
		if len(p.Errors) == 0 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
}
