//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestChange has jobs that wait wait otherwise: over HTTP, by the Go client, by the command line at a server
// and at Redis, and many at a time; and refuses what can't be.
func TestChange(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, site := in.web(t)
	c := clientOf(t, site)
	atServer := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+site)
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	one := submit(t, c, primesOf(1, nil))
	path := site + httpapi.JobPath(one.ID)
	for body, status := range map[string]int{
		``: 400, `{}`: 422, `[]`: 422, `{"queue":"X y"}`: 422, `{"run_at":"tomorrow"}`: 422,
		`{"priority":"urgent"}`: 422,
		`{"timeout":"0s"}`:      422, `{"timeout":"9999h"}`: 422, `{"max_attempts":0}`: 422, `{"max_attempts":101}`: 422,
		`{"retention":"1ms"}`: 422, `{"expires_in":"-1s"}`: 422, `{"expires_at":"2001-01-01T00:00:00Z"}`: 422,
		`{"expires_at":7}`: 422, `{"labels":["a"]}`: 422, `{"run_at":"2099-01-01T00:00:00Z"}`: 422,
		`{"priority":"low","priority":"high"}`:                                     400,
		fmt.Sprintf(`{"run_at":%q,"expires_in":"1m"}`, later.Format(time.RFC3339)): 422,
	} {
		if r := request(t, "PATCH", path, strings.NewReader(body)); r.StatusCode != status {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	for _, c := range []struct { // in this order: the third makes the second revision
		header, priority string
		status           int
	}{{`"9"`, "low", 412}, {`"x"`, "low", 412}, {`"1", "9"`, "high", 200}, {`W/"2"`, "high", 200}, {`*`, "high", 200}} {
		r := request(t, "PATCH", path, strings.NewReader(`{"priority":"`+c.priority+`"}`), "If-Match: "+c.header)
		if r.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.header, r.StatusCode, r.body)
		}
	}
	if snap := look(t, c, one.ID); snap.Priority != job.High || snap.Rev != 2 {
		t.Errorf("%+v", snap)
	}
	snap, err := c.Change(t.Context(), one.ID, client.Change{RunAt: &later, Labels: &job.Labels{"a": "b"}}, 2)
	if err != nil || snap.State != job.Scheduled || !snap.RunAt.Equal(later) || snap.Labels["a"] != "b" {
		t.Errorf("%+v, %v", snap, err)
	}
	for i, env := range [][]string{atServer, in.env} {
		code, out, stderr := call(t, "", env, "enqueue", "change", string(one.ID), "--expires-in", "2h",
			"--timeout", fmt.Sprint(i+1, "m"), "--max-attempts", "7", "--format", "json")
		var said job.Snapshot
		if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || said.MaxAttempts != 7 ||
			said.ExpiresAt == nil {
			t.Errorf("%d %s %s", code, out, stderr)
		}
		if code, _, stderr = call(t, "", env, "enqueue", "change", string(one.ID), "--priority", "low", "--rev",
			"1"); code != 1 || !strings.Contains(stderr, "precondition_failed") {
			t.Errorf("another revision: %d %s", code, stderr)
		}
		if code, _, _ = call(t, "", env, "enqueue", "change", string(one.ID)); code != 2 {
			t.Errorf("nothing to change: %d", code)
		}
	}
	r := request(t, "GET", path+"/timeline", nil)
	for _, want := range []string{"priority high", "run_at " + later.Format(time.RFC3339) + ", labels",
		"max_attempts 7", `"what":"changed"`} {
		if !strings.Contains(string(r.body), want) {
			t.Errorf("no %s in its story: %s", want, r.body)
		}
	}

	others := []job.ID{submit(t, c, primesOf(2, nil)).ID, submit(t, c, primesOf(3, nil)).ID}
	code, out, stderr := call(t, "", atServer, "enqueue", "change", "--state", "queued", "--run-at",
		later.Format(time.RFC3339), "--priority", "low", "--yes", "--format", "json")
	if code != 0 || !strings.Contains(out, `"moved": 2`) {
		t.Errorf("many: %d %s %s", code, out, stderr)
	}
	for _, id := range others {
		if snap := look(t, c, id); snap.State != job.Scheduled || snap.Priority != job.Low {
			t.Errorf("%+v", snap)
		}
	}
	code, _, _ = call(t, "", atServer, "enqueue", "change", "--state", "queued", "--timeout", "1m")
	if code != 2 {
		t.Errorf("a timeout of many: %d", code)
	}
	for _, body := range []string{`{"action":"change","filter":{"state":"queued"}}`,
		`{"action":"change","filter":{"state":"queued"},"change":{}}`,
		`{"action":"change","filter":{"state":"failed"},"change":{"priority":"low"}}`,
		`{"action":"cancel","filter":{"state":"queued"},"change":{"priority":"low"}}`,
		`{"action":"change","filter":{"state":"queued"},"change":{"run_at":"x"}}`} {
		if r := request(t, "POST", site+httpapi.PathBulk, strings.NewReader(body)); r.StatusCode != 422 {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}

	in.worker(t)
	for _, id := range append(others, one.ID) {
		if code, _, stderr := call(t, "", in.env, "enqueue", "change", string(id), "--run-at", "now"); code != 0 {
			t.Errorf("now: %d %s", code, stderr)
		}
		if snap := wait(t, c, id); snap.State != job.Succeeded {
			t.Errorf("%+v", snap)
		}
	}
	r = request(t, "PATCH", path, strings.NewReader(`{"priority":"high","timeout":"9s"}`))
	if r.StatusCode != 409 || !strings.Contains(string(r.body), "has ended") {
		t.Errorf("what has ended: %d %s", r.StatusCode, r.body)
	}
	if r = request(t, "PATCH", path, strings.NewReader(`{"retention":"9h"}`)); r.StatusCode != 200 {
		t.Errorf("its retention: %d %s", r.StatusCode, r.body)
	}
	long := submit(t, c, primesOf(2_000_000_000, nil))
	eventually(t, "it runs", func() bool { return look(t, c, long.ID).State == job.Running })
	r = request(t, "PATCH", site+httpapi.JobPath(long.ID), strings.NewReader(`{"priority":"low"}`),
		"If-Match: \"1\"")
	if r.StatusCode != 409 || !strings.Contains(string(r.body), "already_started") {
		t.Errorf("what runs: %d %s", r.StatusCode, r.body)
	}
}
