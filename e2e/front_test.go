//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

const accessLog = "../../shared/data/access.log"

// report is what log.analyze tells, as far as the facts of the log are known.
type report struct {
	Lines           int64            `json:"lines"`
	UniqueAddresses int64            `json:"unique_addresses"`
	Bytes           int64            `json:"bytes"`
	Status          map[string]int64 `json:"status"`
	TopPaths        []any            `json:"top_paths"`
}

// TestAccessLog sends a real log by curl, as the README does, and follows the
// Location to the report.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(accessLog); err != nil {
		t.Skip("the real access.log is not there: ", err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	in := install(t)
	_, url := in.web(t)
	in.worker(t)

	out, err := exec.CommandContext(t.Context(), curl, "-sSi", "--data-binary", "@"+accessLog,
		url+"/v1/jobs/log.analyze?top=5").Output()
	if err != nil {
		t.Fatal(err)
	}
	answer := strings.TrimPrefix(string(out), "HTTP/1.1 100 Continue\r\n\r\n")
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	_, location, _ := strings.Cut(head, "\r\nLocation: ")
	location, _, _ = strings.Cut(location, "\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 202 ") || !strings.HasPrefix(location, "/v1/jobs/") {
		t.Fatalf("submission answered:\n%s", out)
	}
	out, err = exec.CommandContext(t.Context(), curl, "-sS", url+location+"?wait=25s&until=done").Output()
	if err != nil {
		t.Fatal(err)
	}
	var snap job.Snapshot
	if err := json.Unmarshal(out, &snap); err != nil || snap.State != job.Succeeded {
		t.Fatalf("job ended as %s (%v)", out, err)
	}
	var got report
	if err := json.Unmarshal(snap.Result, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.TopPaths) != 5 {
		t.Errorf("%d top paths, want 5", len(got.TopPaths))
	}
	got.TopPaths = nil
	want := report{
		Lines: 10_000, UniqueAddresses: 1753, Bytes: 2_747_282_740,
		Status: map[string]int64{"200": 9126, "206": 45, "301": 164, "304": 445, "403": 2, "404": 213,
			"416": 2, "500": 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// TestIdempotency repeats a submission under one key: one job; another request
// under it is refused.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	body := `{"type":"math.primes","payload":{"n":1000}}`
	ids := map[job.ID]bool{}
	for range 3 {
		r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(body), "Idempotency-Key: one")
		if first := len(ids) == 0; first && r.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", r.Status, r.body)
		}
		ids[r.snapshot(t).ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("one key made %d jobs", len(ids))
	}
	other := `{"type":"math.primes","payload":{"n":1001}}`
	request(t, "POST", url+httpapi.PathJobs, strings.NewReader(other), "Idempotency-Key: one").problem(t, 422,
		httpapi.IdempotencyMismatch)

	upload := url + httpapi.SubmitPath("file.checksum")
	first := request(t, "POST", upload, strings.NewReader("abc"), "Idempotency-Key: two").snapshot(t)
	again := request(t, "POST", upload, strings.NewReader("abc"), "Idempotency-Key: two").snapshot(t)
	if first.ID != again.ID || first.ID == "" {
		t.Errorf("one key made jobs %s and %s", first.ID, again.ID)
	}
	request(t, "POST", upload+"?algorithms=md5", strings.NewReader("abc"), "Idempotency-Key: two").
		problem(t, 422, httpapi.IdempotencyMismatch)
	var list httpapi.JobList
	if err := json.Unmarshal(request(t, "GET", url+httpapi.PathJobs, nil).body, &list); err != nil ||
		len(list.Jobs) != 2 {
		t.Errorf("%d jobs are listed (%v), want 2", len(list.Jobs), err)
	}
}

// TestChosenID watches a job, by the id that its client chose, from another
// connection while its input trickles in.
func TestChosenID(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	id := job.NewID(time.Now())
	header := httpapi.HeaderJob + ": " + string(id)
	upload := url + httpapi.SubmitPath("file.checksum")

	body, trickle := io.Pipe()
	answer := make(chan reply, 1)
	go func() {
		r, err := tryRequest(t, "POST", upload, body, header)
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	var sent int64
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(trickle, text); err != nil {
			t.Fatal(err)
		}
		sent += int64(len(text))
	}
	send("a")
	known(t, url, id)
	for range 3 {
		send(strings.Repeat("b", 1000))
		poll(t, c, id, "has received what was sent", func(snap job.Snapshot) bool {
			if snap.State != job.Uploading {
				t.Fatalf("state %s while the input comes", snap.State)
			}
			p := snap.Progress
			return p != nil && p.Phase == job.PhaseUpload && p.BytesDone == sent
		})
	}
	trickle.Close()
	if got := (<-answer).snapshot(t); got.ID != id {
		t.Errorf("answer is job %s, want %s", got.ID, id)
	}
	if snap := wait(t, c, id); snap.State != job.Succeeded ||
		!bytes.Contains(snap.Result, fmt.Appendf(nil, `"bytes":%d`, sent)) {
		t.Errorf("job ended as %+v", snap)
	}
	repeat := request(t, "POST", upload, strings.NewReader("other"), header)
	if got := repeat.snapshot(t); got.ID != id || got.State != job.Succeeded {
		t.Errorf("repeat answered %s: %+v", repeat.Status, got)
	}
}

// TestTwoWebProcesses submits to one web process and waits at the other, which
// can know of the end only through Redis.
func TestTwoWebProcesses(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, here := in.web(t)
	_, there := in.web(t)
	in.worker(t)
	for range 20 {
		snap := request(t, "POST", here+httpapi.PathJobs,
			strings.NewReader(`{"type":"math.primes","payload":{"n":20000000}}`)).snapshot(t)
		seen := request(t, "GET", there+httpapi.JobPath(snap.ID)+"?wait=25s&until=done", nil)
		got := seen.snapshot(t)
		if got.State != job.Succeeded || seen.Header.Get(httpapi.HeaderWait) != "25s" {
			t.Fatalf("seen elsewhere: %+v, granted %q", got, seen.Header.Get(httpapi.HeaderWait))
		}
		// A notification that got lost would cost up to 2.5 s.
		if late := time.Since(*got.FinishedAt); late > time.Second {
			t.Errorf("told %v after the end", late)
		}
		same := request(t, "GET", here+httpapi.JobPath(snap.ID), nil).snapshot(t)
		if diff := cmp.Diff(got, same); diff != "" {
			t.Errorf("two answers about one ended job differ:\n%s", diff)
		}
	}
}

// TestEndOfLife retries a failed job with its input, deletes it, and lets
// retention remove the new one.
func TestEndOfLife(t *testing.T) {
	t.Parallel()
	in := install(t, "RETENTION=3s")
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	long := client.Submission{Type: "file.decompress", Retention: time.Hour, MaxAttempts: 1}
	failed, err := c.SubmitFile(t.Context(), long, strings.NewReader("no gzip at all"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if failed = wait(t, c, failed.ID); failed.State != job.Failed || failed.Error.Code != job.CorruptInput {
		t.Fatalf("job ended as %+v", failed)
	}
	r := request(t, "POST", url+httpapi.RetryPath(failed.ID), nil)
	again := r.snapshot(t)
	if r.StatusCode != http.StatusAccepted || again.RetryOf != failed.ID ||
		r.Header.Get("Location") != httpapi.JobPath(again.ID) {
		t.Fatalf("retry answered %s, Location %q: %+v", r.Status, r.Header.Get("Location"), again)
	}
	if again = wait(t, c, again.ID); again.Error == nil || again.Error.Code != job.CorruptInput {
		t.Errorf("retry did not meet the same input: %+v", again)
	}
	old, same := wait(t, c, failed.ID), failed
	if same.RetriedAs, same.Rev = again.ID, old.Rev; !cmp.Equal(old, same) {
		t.Errorf("the retried job has changed: %s", cmp.Diff(same, old))
	}
	for _, id := range []job.ID{failed.ID, again.ID} {
		if err := c.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		request(t, "GET", url+httpapi.JobPath(id), nil).problem(t, 404, httpapi.NotFound)
	}
	if left := in.files(t); len(left) > 0 {
		t.Errorf("files left after deletion: %v", left)
	}

	short, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"},
		strings.NewReader("soon gone"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if short = wait(t, c, short.ID); short.State != job.Succeeded {
		t.Fatalf("job ended as %+v", short)
	}
	if got := request(t, "GET", url+httpapi.ResultPath(short.ID), nil); got.StatusCode != http.StatusOK ||
		len(in.files(t)) != 2 {
		t.Errorf("before its retention is over: %s, files %v", got.Status, in.files(t))
	}
	eventually(t, "retention removes the record", func() bool {
		return request(t, "GET", url+httpapi.JobPath(short.ID), nil).StatusCode == http.StatusNotFound
	})
	if early := 3*time.Second - time.Since(*short.FinishedAt); early > 0 {
		t.Errorf("removed %v too early", early)
	}
	eventually(t, "retention removes the files", func() bool { return len(in.files(t)) == 0 })
}
