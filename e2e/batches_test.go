//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"longshore/answer"
	"longshore/client"
	"longshore/job"
)

// gatherer is a function whose result is its input, and one that fails if it is told to.
func gatherer(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"batch.gather/function.json": `{"command":["./main.sh"],"input":"required"}`,
		"batch.gather/main.sh":       "#!/bin/sh\nprintf '['; paste -sd, -; printf ']'\n",
		"batch.work/function.json":   `{"command":["./main.sh"],"max_attempts":1}`,
		"batch.work/main.sh":         "#!/bin/sh\ngrep -q fail \"$LONGSHORE_PAYLOAD\" && exit 65\ncat \"$LONGSHORE_PAYLOAD\"\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// installGatherer is an installation with these functions.
func installGatherer(t *testing.T) (in *installation, url string, c *client.Client) {
	t.Helper()
	in = install(t)
	_, url = in.web(t)
	in.worker(t, "FUNCTIONS_DIR="+gatherer(t))
	served(t, url, "batch.gather")
	served(t, url, "batch.work")
	return in, url, clientOf(t, url)
}

func resultsOf(t *testing.T, snap job.Snapshot) (list []answer.BatchResult) {
	t.Helper()
	if snap.State != job.Succeeded {
		t.Fatalf("%s ended as %s: %+v", snap.Type, snap.State, snap.Error)
	}
	if err := json.Unmarshal(snap.Result, &list); err != nil {
		t.Fatalf("%v in %s", err, snap.Result)
	}
	return list
}

// TestBatch fills a batch by all ways in, closes it, follows it by all ways of push, and what comes then
// gets what became of each job.
func TestBatch(t *testing.T) {
	t.Parallel()
	in, url, c := installGatherer(t)
	b, _, err := c.OpenBatch(t.Context(), client.Batch{Name: "all", Labels: job.Labels{"kind": "test"},
		Then: &client.Submission{Type: "batch.gather"}})
	if err != nil || b.State != job.Awaiting || b.Jobs == nil || !b.Jobs.Open || b.Jobs.Then == "" || b.Name != "all" {
		t.Fatalf("%+v, %v", b, err)
	}
	var following sync.WaitGroup
	defer following.Wait()
	books := map[string]*book{}
	for name, follow := range map[string]follower{"long-poll": each(followByLongPoll), "SSE": each(followByEvents),
		"WebSocket": followBySocket, "Go client": followByClient} {
		kept := newBook(t, name)
		books[name] = kept
		following.Go(func() {
			if err := follow(t.Context(), url, []job.ID{b.ID, b.Jobs.Then}, kept); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	first := submit(t, c, client.Submission{Type: "batch.work", Payload: map[string]int{"n": 1}, Batch: b.ID, Name: "first"})
	if again := submit(t, c, client.Submission{Type: "batch.work", Payload: map[string]int{"n": 1}, Batch: b.ID,
		Name: "first"}); again.ID != first.ID || again.Batch != b.ID || again.Name != "first" {
		t.Errorf("again: %+v", again)
	}
	var lines strings.Builder
	for i := range 50 {
		fmt.Fprintf(&lines, `{"type":"batch.work","payload":{"n":%d},"batch_name":"n%d","after":["first"]}`+"\n", i, i)
	}
	r := request(t, "POST", url+"/v1/jobs/batch?batch="+string(b.ID), strings.NewReader(lines.String()),
		"Content-Type: application/x-ndjson")
	if r.StatusCode != 200 || strings.Count(string(r.body), `"created":true`) != 50 {
		t.Fatalf("lines: %d %s", r.StatusCode, r.body)
	}
	in.env = append(in.env, "LONGSHORE_URL="+url)
	if code, out, stderr := call(t, "", in.env, "enqueue", "submit", "batch.work", "--payload", `{"n":99}`, "--batch", string(b.ID)); code != 0 {
		t.Fatalf("submit: %d %s %s", code, out, stderr)
	}
	if snap := wait(t, c, first.ID); snap.State != job.Succeeded {
		t.Fatalf("first: %+v", snap)
	}
	for range 2 {
		if code, out, stderr := call(t, "", in.env, "enqueue", "batches", "close", string(b.ID)); code != 0 {
			t.Fatalf("close: %d %s %s", code, out, stderr)
		}
	}
	late := request(t, "POST", url+"/v1/jobs", strings.NewReader(`{"type":"batch.work","batch":"`+string(b.ID)+`"}`),
		"Content-Type: application/json")
	if late.StatusCode != http.StatusConflict || !strings.Contains(string(late.body), "batch_closed") {
		t.Errorf("a late job: %d %s", late.StatusCode, late.body)
	}
	end := wait(t, c, b.ID)
	if end.State != job.Succeeded || end.Jobs.Total != 52 || end.Jobs.Succeeded != 52 || end.Jobs.Open {
		t.Fatalf("batch: %+v %+v", end, end.Jobs)
	}
	got := resultsOf(t, wait(t, c, b.Jobs.Then))
	if len(got) != 52 || got[0].Name != "first" || slices.ContainsFunc(got, func(r answer.BatchResult) bool {
		return r.State != job.Succeeded || len(r.Result) == 0
	}) {
		t.Errorf("then got %+v", got)
	}
	n := 0
	for snap, err := range c.BatchJobs(t.Context(), b.ID) {
		if err != nil || snap.Batch != b.ID {
			t.Fatalf("%+v, %v", snap, err)
		}
		n++
	}
	if n != 52 {
		t.Errorf("%d jobs are listed", n)
	}
	following.Wait()
	for name, kept := range books {
		if !kept.ended(b.ID) || !kept.ended(b.Jobs.Then) {
			t.Errorf("%s didn't see the ends", name)
		}
	}
}

// TestBatchWhole makes batches with all their jobs in one request: a graph by names, one that fails, one
// that is canceled, one whose time is over; bad ones are refused whole.
func TestBatchWhole(t *testing.T) {
	t.Parallel()
	_, url, c := installGatherer(t)
	open := func(body, key string) (int, answer.BatchOpened, string) {
		t.Helper()
		headers := []string{"Content-Type: application/json"}
		if key != "" {
			headers = append(headers, "Idempotency-Key: "+key)
		}
		r := request(t, "POST", url+"/v1/batches", strings.NewReader(body), headers...)
		var b answer.BatchOpened
		if r.StatusCode < 300 {
			if err := json.Unmarshal(r.body, &b); err != nil {
				t.Fatal(err)
			}
		}
		return r.StatusCode, b, string(r.body)
	}
	graph := `{"jobs":[{"type":"batch.work","batch_name":"a","payload":{"n":1}},{"type":"batch.work","batch_name":"b","after":["a"]},
		{"type":"batch.work","after":["a","b"]},{"type":"batch.work","after":["nobody"]}],"then":{"type":"batch.gather"}}`
	status, b, text := open(graph, "graph")
	if status != 201 || len(b.Jobs) != 4 || b.Jobs[2].Code != "" || b.Jobs[3].Code != "invalid" {
		t.Fatalf("%d %s", status, text)
	}
	if status, again, text := open(graph, "graph"); status != 200 || again.Batch.ID != b.Batch.ID || again.Jobs[2].ID != b.Jobs[2].ID {
		t.Errorf("again: %d %s", status, text)
	}
	if got := resultsOf(t, wait(t, c, b.Batch.Jobs.Then)); len(got) != 3 {
		t.Errorf("then got %+v", got)
	}
	failing := `[{"type":"batch.work","payload":{"do":"fail"}},{"type":"batch.work"}]`
	_, b, _ = open(`{"jobs":`+failing+`,"then":{"type":"batch.gather"}}`, "")
	if end := wait(t, c, b.Batch.ID); end.State != job.Failed || end.Error == nil ||
		end.Error.Code != job.JobsFailed || end.Jobs.Failed != 1 ||
		end.Jobs.Succeeded != 1 || len(end.Jobs.Unsuccessful) != 1 ||
		end.Jobs.Unsuccessful[0] != b.Jobs[0].ID {
		t.Errorf("batch of which one fails: %+v %+v", end, end.Jobs)
	}
	if then := wait(t, c, b.Batch.Jobs.Then); then.State != job.Canceled || then.Error == nil ||
		then.Error.Code != job.DependencyFailed {
		t.Errorf("then: %+v", then)
	}
	_, b, _ = open(`{"jobs":`+failing+`,"then":{"type":"batch.gather"},"on_failure":"run"}`, "")
	if got := resultsOf(t, wait(t, c, b.Batch.Jobs.Then)); len(got) != 2 || got[0].State != job.Failed {
		t.Errorf("then, run all the same, got %+v", got)
	}
	if _, b, text = open(`{"jobs":[]}`, ""); wait(t, c, b.Batch.ID).State != job.Succeeded {
		t.Errorf("an empty one: %s", text)
	}
	held := `[{"type":"batch.work","hold":"never"},{"type":"batch.work"}]`
	_, b, _ = open(`{"jobs":`+held+`,"then":{"type":"batch.gather"}}`, "")
	wait(t, c, b.Jobs[1].ID)
	if _, err := c.Cancel(t.Context(), b.Batch.ID); err != nil {
		t.Fatal(err)
	}
	if end := wait(t, c, b.Batch.ID); end.State != job.Canceled || end.Jobs.Canceled != 1 ||
		end.Jobs.Succeeded != 1 {
		t.Errorf("canceled: %+v %+v", end, end.Jobs)
	}
	_, b, _ = open(`{"expires_in":"1s","jobs":`+held+`}`, "")
	if end := wait(t, c, b.Batch.ID); end.State != job.Expired || end.Jobs.Canceled != 1 {
		t.Errorf("expired: %+v %+v", end, end.Jobs)
	}
	for body, place := range map[string]string{
		`{"then":{"type":"none.such"}}`:                     "/then/type",
		`{"then":{"type":"batch.gather","after":[]},"x":1}`: "/x",
		`{"then":{"type":"batch.gather","hold":"a\nb"}}`:    "/then",
		`{"on_failure":"run"}`:                              "/on_failure",
		`{"on_failure":"maybe"}`:                            "/on_failure",
		`{"expires_in":"91d"}`:                              "/expires_in",
		`{"name":"a b"}`:                                    "/name",
		`{"then":{"type":"batch.gather","unique_key":"k"}}`: "/then/unique_key",
		`{"jobs":{}}`:                                       "/jobs",
		`{"type":"batch.work"}`:                             "/type",
		`{"then":{"type":"batch.gather","batch":"` + string(b.Batch.ID) + `"}}`: "/then/batch",
	} {
		if status, _, text := open(body, ""); status != 422 || !strings.Contains(text, `"`+place) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if r := request(t, "POST", url+"/v1/batches/"+string(b.Jobs[0].ID)+"/close", nil); r.StatusCode < 400 || r.StatusCode >= 500 {
		t.Errorf("close of a job: %d %s", r.StatusCode, r.body)
	}
}

// TestBatchKills fills and ends batches while web and workers are killed: each ends once, with all its jobs.
func TestBatchKills(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	functions := gatherer(t)
	worker := in.worker(t, "FUNCTIONS_DIR="+functions)
	served(t, url, "batch.gather")
	c := clientOf(t, url)
	const batches, each = 8, 60
	var ids, thens []job.ID
	for i := range batches {
		var jobs []client.Submission
		for n := range each {
			jobs = append(jobs, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 400_000 + n}})
		}
		b, answers, err := c.OpenBatch(t.Context(), client.Batch{Jobs: jobs, Then: &client.Submission{Type: "batch.gather"}})
		if err != nil || len(answers) != each {
			t.Fatalf("batch %d: %v", i, err)
		}
		ids, thens = append(ids, b.ID), append(thens, b.Jobs.Then)
	}
	ended := func() int64 {
		counts, err := c.Count(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return counts.Counts[job.Succeeded]
	}
	for range 4 {
		seen := ended()
		eventually(t, "more have ended", func() bool { return ended() > seen+40 || ended() >= batches*(each+2) })
		worker.signal(syscall.SIGKILL)
		worker = in.worker(t, "FUNCTIONS_DIR="+functions)
	}
	for i, id := range ids {
		if end := wait(t, c, id); end.State != job.Succeeded || end.Jobs.Total != each ||
			end.Jobs.Succeeded != each {
			t.Errorf("batch: %+v %+v", end, end.Jobs)
		}
		if got := resultsOf(t, wait(t, c, thens[i])); len(got) != each {
			t.Errorf("then got %d", len(got))
		}
	}
}
