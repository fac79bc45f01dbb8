//go:build linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// mail is a job of a queue, as JSON.
func mail(queue string) string {
	return `{"type":"math.primes","payload":{"n":100},"queue":"` + queue + `"}`
}

func posted(t *testing.T, url, body string) job.Snapshot {
	t.Helper()
	r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(body), "Content-Type: application/json")
	var snap job.Snapshot
	if err := json.Unmarshal(r.body, &snap); err != nil || r.StatusCode >= 300 {
		t.Fatalf("%s %s, %v", r.Status, r.body, err)
	}
	return snap
}

// TestNamedQueues has jobs of a queue wait that no worker serves, which each way to look says, and run once
// one does: whichever way they came.
func TestNamedQueues(t *testing.T) {
	t.Parallel()
	const token = "hirefire-0123456789abcdef"
	in := install(t)
	_, url := in.web(t, "HIREFIRE_TOKEN="+token)
	in.worker(t, "QUEUES=default")
	c := clientOf(t, url)
	cli := func(args ...string) string {
		t.Helper()
		code, out, msg := call(t, "", append(in.env, "LONGSHORE_URL="+url), "enqueue", args...)
		if code != 0 {
			t.Fatalf("enqueue %v: %d %s", args, code, msg)
		}
		return out
	}
	usual := posted(t, url, mail("default"))
	if usual.Queue != "" {
		t.Errorf("queue default is told: %q", usual.Queue)
	}
	poll(t, c, usual.ID, "ends", isDone)

	first := posted(t, url, mail("mailers"))
	if first.Queue != "mailers" {
		t.Errorf("queue %q", first.Queue)
	}
	waitsFor := func(id job.ID, what job.Waiting) {
		t.Helper()
		eventually(t, "the job waits for "+string(what), func() bool {
			snap, err := c.Get(t.Context(), id)
			return err == nil && snap.WaitingFor == what
		})
	}
	waitsFor(first.ID, job.WaitingWorker)
	var by struct{ ID job.ID }
	if err := json.Unmarshal([]byte(cli("submit", "math.primes", "--set", "n=100", "--queue", "mailers", "--format",
		"json")), &by); err != nil {
		t.Fatal(err)
	}
	if r := request(t, "POST", url+httpapi.PathJobs+"/file.checksum?queue=mailers", strings.NewReader("data")); r.
		StatusCode != http.StatusAccepted {
		t.Fatalf("a file: %s %s", r.Status, r.body)
	}
	meta := "type " + base64.StdEncoding.EncodeToString([]byte("file.checksum")) + ",queue " +
		base64.StdEncoding.EncodeToString([]byte("mailers"))
	if r := request(t, "POST", url+httpapi.PathUploads, strings.NewReader("data"), "Tus-Resumable: 1.0.0",
		"Upload-Length: 4", "Upload-Metadata: "+meta, "Content-Type: application/offset+octet-stream"); r.
		StatusCode != http.StatusCreated {
		t.Fatalf("an upload in pieces: %s %s", r.Status, r.body)
	}
	lines := mail("mailers") + "\n" + mail("default") + "\n" + mail("mailers") + "\n"
	if r := request(t, "POST", url+httpapi.PathBatch, strings.NewReader(lines), "Content-Type: application/x-ndjson"); r.
		StatusCode != http.StatusOK {
		t.Fatalf("lines: %s %s", r.Status, r.body)
	}
	list := func(queue string) []job.Snapshot {
		t.Helper()
		page, err := c.ListPage(t.Context(), client.Filter{Narrow: client.JobFilter{Queue: queue}}, 100, "")
		if err != nil {
			t.Fatal(err)
		}
		return page.Jobs
	}
	if n, m := len(list("mailers")), len(list("default")); n != 6 || m != 2 {
		t.Errorf("%d jobs of mailers, %d of default", n, m)
	}
	if out := cli("ls", "--queue", "mailers", "--format", "jsonl"); strings.Count(out, `"queue":"mailers"`) != 6 {
		t.Errorf("listed: %s", out)
	}
	if out := cli("queues"); !strings.Contains(out, "cpu-default:mailers") {
		t.Errorf("queues: %s", out)
	}
	if _, out, _ := call(t, "", append(in.env, "LONGSHORE_URL="+url), "enqueue", "doctor"); !strings.Contains(out,
		"jobs wait in queue mailers, which no worker serves") {
		t.Errorf("doctor: %s", out)
	}
	var s httpapi.Scale
	if err := json.Unmarshal(request(t, "GET", url+httpapi.PathScale, nil).body, &s); err != nil ||
		s.Queues["mailers"].Wanted < 1 || s.Queues["default"].Wanted > 1 {
		t.Errorf("scale: %+v, %v", s, err)
	}
	if r := request(t, "GET", url+httpapi.PathHireFire+"/"+token+"/info", nil); !strings.Contains(string(r.body),
		`"worker-mailers"`) {
		t.Errorf("HireFire is told %s", r.body)
	}
	// A pause holds all of the queue, what comes to be of it too.
	cli("pause", "queue:mailers", "--why", "provider")
	if out := cli("pause"); !strings.Contains(out, "queue:mailers") {
		t.Errorf("paused: %s", out)
	}
	in.worker(t, "QUEUES=mailers=3,reports!")
	high := posted(t, url, `{"type":"math.primes","payload":{"n":100},"queue":"mailers","priority":"high"}`)
	waitsFor(high.ID, job.WaitingPaused)
	// It can wait in another one.
	if out := cli("change", string(high.ID), "--to-queue", "default"); !strings.Contains(out, string(high.ID)) {
		t.Errorf("changed: %s", out)
	}
	if snap := poll(t, c, high.ID, "ends", isDone); snap.Queue != "" {
		t.Errorf("it ended in %q", snap.Queue)
	}
	if r := request(t, "PATCH", url+httpapi.JobPath(by.ID), strings.NewReader(`{"queue":"reports"}`),
		"Content-Type: application/json"); r.StatusCode != http.StatusOK {
		t.Errorf("PATCH: %s %s", r.Status, r.body)
	}
	poll(t, c, by.ID, "ends in reports", func(s job.Snapshot) bool { return s.Done && s.Queue == "reports" })
	cli("resume", "queue:mailers")
	for _, snap := range list("mailers") {
		poll(t, c, snap.ID, "ends", isDone)
	}
	cli("schedules", "set", "mails", "math.primes", "--set", "n=10", "--every", "1h", "--queue", "mailers")
	made := job.ID(strings.TrimSpace(cli("schedules", "run", "mails")))
	if snap := poll(t, c, made, "ends", isDone); snap.Queue != "mailers" {
		t.Errorf("a schedule's job: %+v", snap)
	}
}

func isDone(s job.Snapshot) bool { return s.Done }

// TestHostileQueues holds that bad names are refused, each way, and that there are so many and no more.
func TestHostileQueues(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	for _, name := range []string{"Mail", "-a", "a b", "ä", "почта", "a:b", "a/b", "a\\n", "a\\u0000",
		strings.Repeat("a", 33), "*", "a!"} {
		r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(mail(name)), "Content-Type: application/json")
		if r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(r.body), "/queue") {
			t.Errorf("%q: %s %s", name, r.Status, r.body)
		}
	}
	var lines strings.Builder
	for i := range 200 {
		fmt.Fprintln(&lines, mail(fmt.Sprintf("q%d", i)))
	}
	r := request(t, "POST", url+httpapi.PathBatch, strings.NewReader(lines.String()), "Content-Type: application/x-ndjson")
	if n := strings.Count(string(r.body), `"created":true`); n != 200 {
		t.Fatalf("%d of 200 queues: %s", n, r.body)
	}
	post := func(name string) reply {
		return request(t, "POST", url+httpapi.PathJobs, strings.NewReader(mail(name)), "Content-Type: application/json")
	}
	post("one-more").problem(t, http.StatusUnprocessableEntity, httpapi.TooManyQueues)
	if r := post("q7"); r.StatusCode >= 300 {
		t.Errorf("one that is there: %s %s", r.Status, r.body)
	}
	if r := post("default"); r.StatusCode >= 300 {
		t.Errorf("the default one: %s %s", r.Status, r.body)
	}
	// A worker that comes later finds them all.
	in.worker(t)
	c := clientOf(t, url)
	eventually(t, "all jobs have ended", func() bool {
		counts, err := c.Count(t.Context(), "")
		return err == nil && counts.Counts[job.Succeeded] == 202
	})
}
