//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestChain works on one job's output with another, by reference: nothing is
// copied, and the first job outlives its retention until the second has ended.
func TestChain(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	var log strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&log, "10.0.0.%d - - [10/Oct/2025:13:55:36 +0000] \"GET /%d HTTP/1.1\" 200 5\n", i%250, i%7)
	}
	owner, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress",
		Retention: 2 * time.Second}, strings.NewReader(log.String()), -1)
	if err != nil {
		t.Fatal(err)
	}
	conflict := request(t, "POST", url+httpapi.PathJobs,
		strings.NewReader(reference(submit(t, c, burner).ID)))
	conflict.problem(t, http.StatusConflict, httpapi.Conflict) // that one has not ended
	wait(t, c, owner.ID)
	child := submit(t, c, client.Submission{Type: "log.analyze", InputJob: owner.ID,
		RunAt: time.Now().Add(8 * time.Second)})
	problem := request(t, "DELETE", url+httpapi.JobPath(owner.ID), nil).problem(t, http.StatusConflict,
		httpapi.Conflict)
	if !strings.Contains(problem.Detail, string(child.ID)) {
		t.Errorf("the refusal does not name the child: %s", problem.Detail)
	}
	ended := wait(t, c, owner.ID)
	if wait := time.Until(ended.FinishedAt.Add(5 * time.Second)); wait > 0 {
		<-time.After(wait)
	}
	if r := request(t, "GET", url+httpapi.JobPath(owner.ID), nil); r.StatusCode != http.StatusOK {
		t.Errorf("the owner is gone while its output waits to be used: %s", r.Status)
	}
	if files := in.files(t); len(files) != 2 {
		t.Errorf("files %v, want the owner's input and output", files)
	}
	child = wait(t, c, child.ID)
	var report struct{ Lines int }
	if err := json.Unmarshal(child.Result, &report); err != nil || child.State != job.Succeeded ||
		report.Lines != 1000 {
		t.Errorf("child %+v, %v", child, err)
	}
	if p := child.Progress; p == nil || p.BytesTotal != ended.Outputs[0].Size {
		t.Errorf("child's progress %+v, want %d bytes in all", child.Progress, ended.Outputs[0].Size)
	}
	eventually(t, "the owner is gone", func() bool {
		return request(t, "GET", url+httpapi.JobPath(owner.ID), nil).StatusCode == http.StatusNotFound &&
			len(in.files(t)) == 0
	})
	request(t, "POST", url+httpapi.RetryPath(child.ID), nil).problem(t, http.StatusConflict, httpapi.Conflict)
	request(t, "POST", url+httpapi.PathJobs, strings.NewReader(reference(owner.ID))).
		problem(t, http.StatusNotFound, httpapi.NotFound)
}

func reference(id job.ID) string {
	return fmt.Sprintf(`{"type":"log.analyze","input":{"job":"%s"}}`, id)
}

// TestChainOnTheCommandLine does the same with enqueue.
func TestChainOnTheCommandLine(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	for name, env := range map[string][]string{"over HTTP": {"LONGSHORE_URL=" + url}, "straight": in.env} {
		enqueue := func(args ...string) string {
			t.Helper()
			code, stdout, stderr := call(t, "a\nb\n", env, "enqueue", args...)
			if code != 0 {
				t.Fatalf("%s: enqueue %s: exit code %d, %s", name, strings.Join(args, " "), code, stderr)
			}
			return strings.TrimSpace(stdout)
		}
		owner := enqueue("submit", "file.compress", "-")
		c := clientOf(t, url)
		out := wait(t, c, job.ID(owner)).Outputs[0].Name
		child := enqueue("submit", "file.decompress", "--input-from", owner+"/"+out, "--set", "format=gzip")
		if snap := wait(t, c, job.ID(child)); snap.State != job.Succeeded || snap.Outputs[0].Size != 4 {
			t.Errorf("%s: child %+v", name, snap)
		}
	}
	code, _, _ := call(t, "", in.env, "enqueue", "submit", "file.decompress", "--input-from", "nothing")
	if code != 2 {
		t.Errorf("--input-from without an id: exit code %d, want 2", code)
	}
}
