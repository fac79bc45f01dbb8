//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A claimer is a program that claims jobs, by hand.
type claimer struct {
	t    *testing.T
	url  string
	name string
	head []string // of each request
}

var claimKeys atomic.Int64

// drawKey is a key that no other request of these tests has.
func drawKey() string { return fmt.Sprintf("key-%016d", claimKeys.Add(1)) }

// post sends JSON and reads it; the answer's status comes back.
func (c *claimer) post(path string, body, to any) int {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	r := request(c.t, "POST", c.url+path, bytes.NewReader(text), append(c.head, "Content-Type: application/json")...)
	if to != nil && r.StatusCode < 300 && len(r.body) > 0 {
		if err := json.Unmarshal(r.body, to); err != nil {
			c.t.Fatalf("%s: %v in %s", path, err, r.body)
		}
	}
	if r.StatusCode >= 400 {
		c.t.Logf("%s: %s %s", path, r.Status, r.body)
	}
	return r.StatusCode
}

// claim asks for jobs under a key.
func (c *claimer) claim(key string, try, n int, wait string, types ...string) []answer.ClaimedJob {
	c.t.Helper()
	var got answer.Claimed
	status := c.post(httpapi.PathClaims, answer.ClaimRequest{Types: types, N: n, Wait: wait, Key: key,
		Try: try, Worker: c.name}, &got)
	if status != http.StatusOK && status != http.StatusNoContent {
		c.t.Fatalf("claim: %d", status)
	}
	return got.Jobs
}

// one claims a job, which must come.
func (c *claimer) one(types ...string) answer.ClaimedJob {
	c.t.Helper()
	jobs := c.claim(drawKey(), 1, 1, "20s", types...)
	if len(jobs) != 1 {
		c.t.Fatalf("claimed %d jobs, want 1", len(jobs))
	}
	return jobs[0]
}

func (c *claimer) finish(f answer.FinishJob) answer.FinishedJob {
	c.t.Helper()
	var told answer.Finished
	if status := c.post(httpapi.PathClaimsFinish, answer.FinishRequest{Jobs: []answer.FinishJob{f}},
		&told); status != http.StatusOK || len(told.Jobs) != 1 {
		c.t.Fatalf("finish: %d %+v", status, told)
	}
	return told.Jobs[0]
}

func (c *claimer) renew(wait string, jobs ...answer.RenewJob) []answer.RenewedJob {
	c.t.Helper()
	var told answer.Renewed
	if status := c.post(httpapi.PathClaimsRenew, answer.RenewRequest{Worker: c.name, Wait: wait, Jobs: jobs},
		&told); status != http.StatusOK || len(told.Jobs) != len(jobs) {
		c.t.Fatalf("renew: %d %+v", status, told)
	}
	return told.Jobs
}

func (c *claimer) put(of answer.ClaimedJob, name, content string) int {
	c.t.Helper()
	r := request(c.t, "PUT", c.url+httpapi.JobPath(of.ID)+"/claim/outputs/"+name, strings.NewReader(content),
		append(c.head, httpapi.HeaderClaim+": "+of.Claim)...)
	return r.StatusCode
}

// claimed makes a type one that is claimed.
func claimed(t *testing.T, url, typ, more string, head ...string) {
	t.Helper()
	r := request(t, "PUT", url+httpapi.PathTypes+"/"+typ, strings.NewReader(`{"served":"claims"`+more+`}`),
		append(head, "Content-Type: application/json")...)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s %s", typ, r.Status, r.body)
	}
}

// TestClaims has a program that reaches no Redis run jobs: with input, outputs, progress, a log and each
// way to end.
func TestClaims(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := &claimer{t: t, url: url, name: "host:1:a"}
	client := clientOf(t, url)
	claimed(t, url, "photos.caption", `,"max_attempts":2,"timeout":"10m"`)

	first := posted(t, url, `{"type":"photos.caption","payload":{"n":1},"max_attempts":2}`)
	got := c.one("photos.*")
	if got.ID != first.ID || got.Attempt != 1 || got.MaxAttempts != 2 || string(got.Payload) != `{"n":1}` ||
		got.TimeoutMS < 600_000 || got.TimeoutMS > 660_000 || got.LeaseMS < 30_000 || got.LeaseMS > 90_000 ||
		got.Claim == "" {
		t.Fatalf("claimed %+v", got)
	}
	if more := c.claim(drawKey(), 1, 5, "", "photos.*"); len(more) > 0 {
		t.Fatalf("claimed again: %+v", more)
	}
	told := c.renew("", answer.RenewJob{ID: got.ID, Claim: got.Claim,
		Progress: &answer.ClaimProgress{Done: 3, Total: 10, Note: "page 3"},
		Log:      &answer.ClaimLog{From: 1, Lines: []string{"one", "two"}}})
	if told[0].Stop != "" || told[0].LeaseMS < 29_000 {
		t.Errorf("renewed %+v", told[0])
	}
	c.renew("", answer.RenewJob{ID: got.ID, Claim: got.Claim, // the answer was lost: line two is sent again
		Log: &answer.ClaimLog{From: 2, Lines: []string{"two", "three"}}})
	snap, err := client.Get(t.Context(), got.ID)
	if err != nil || snap.State != job.Running || snap.Progress == nil || snap.Progress.Note != "page 3" ||
		*snap.Progress.Fraction != 0.3 {
		t.Errorf("%+v, %v", snap, err)
	}
	if status := c.put(got, "caption.txt", "a cat"); status != http.StatusOK {
		t.Errorf("output: %d", status)
	}
	if status := c.put(got, "caption.txt", "a cat on a mat"); status != http.StatusOK {
		t.Errorf("output once more: %d", status)
	}
	c.put(got, "scratch.bin", "0000")
	bad := c.finish(answer.FinishJob{ID: got.ID, Claim: got.Claim, Result: json.RawMessage(`{}`),
		Outputs: []answer.ClaimedOutput{{Name: "caption.txt", Size: 5}}})
	if bad.Problem == nil || bad.Problem.Code != httpapi.OutputMismatch {
		t.Errorf("an output of another size: %+v", bad)
	}
	end := answer.FinishJob{ID: got.ID, Claim: got.Claim, Result: json.RawMessage(`{"words":5}`),
		Outputs: []answer.ClaimedOutput{{Name: "caption.txt", Size: 14}}}
	for range 2 { // a repeat is told the same
		if ended := c.finish(end); ended.State != job.Succeeded || ended.Problem != nil {
			t.Fatalf("finish: %+v", ended)
		}
	}
	if again := c.finish(answer.FinishJob{ID: got.ID, Claim: got.Claim,
		Fail: &answer.ClaimFailure{Message: "no"}}); again.Problem == nil ||
		again.Problem.Code != httpapi.AlreadyFinished {
		t.Errorf("another end: %+v", again)
	}
	snap, err = client.Get(t.Context(), got.ID)
	if err != nil || string(snap.Result) != `{"words":5}` || len(snap.Outputs) != 1 || snap.Outputs[0].Size != 14 {
		t.Errorf("%+v, %v", snap, err)
	}
	if r := request(t, "GET", url+httpapi.OutputPath(got.ID, "caption.txt"), nil); string(r.body) != "a cat on a mat" {
		t.Errorf("output %s", r.body)
	}
	log := request(t, "GET", url+httpapi.JobPath(got.ID)+"/logs", nil)
	if text := string(log.body); strings.Count(text, `"two"`) != 1 || !strings.Contains(text, `"three"`) {
		t.Errorf("log %s", text)
	}

	// With an input, read in parts; it fails once, then for good.
	r := request(t, "POST", url+httpapi.SubmitPath("photos.caption"), strings.NewReader("0123456789"))
	if r.StatusCode != http.StatusAccepted {
		t.Fatalf("upload: %s %s", r.Status, r.body)
	}
	file := c.one("photos.caption")
	if file.Input == nil || file.Input.Size != 10 {
		t.Fatalf("input %+v", file.Input)
	}
	part := request(t, "GET", url+httpapi.JobPath(file.ID)+"/claim/input", nil,
		httpapi.HeaderClaim+": "+file.Claim, "Range: bytes=3-5")
	if part.StatusCode != http.StatusPartialContent || string(part.body) != "345" {
		t.Errorf("part of an input: %s %s", part.Status, part.body)
	}
	if lost := request(t, "GET", url+httpapi.JobPath(file.ID)+"/claim/input", nil,
		httpapi.HeaderClaim+": "+got.Claim); lost.StatusCode != http.StatusConflict {
		t.Errorf("by another's claim: %s", lost.Status)
	}
	if ended := c.finish(answer.FinishJob{ID: file.ID, Claim: file.Claim,
		Error: &answer.ClaimFailure{Message: "blurred", Code: job.Crashed}}); ended.State != job.Retrying {
		t.Errorf("after an error: %+v", ended)
	}
	second := c.one("photos.caption")
	if second.ID != file.ID || second.Attempt != 2 || second.Claim == file.Claim {
		t.Errorf("second attempt %+v", second)
	}
	if lost := c.finish(answer.FinishJob{ID: file.ID, Claim: file.Claim, Result: json.RawMessage("1")}); lost.
		Problem == nil {
		t.Errorf("the first attempt's end counts: %+v", lost)
	}
	if ended := c.finish(answer.FinishJob{ID: second.ID, Claim: second.Claim,
		Fail: &answer.ClaimFailure{Message: "too dark"}}); ended.State != job.Failed {
		t.Errorf("for good: %+v", ended)
	}
	snap, err = client.Get(t.Context(), file.ID)
	if err != nil || len(snap.Errors) != 2 || snap.Errors[0].Code != job.Crashed ||
		snap.Errors[1].Message != "too dark" {
		t.Errorf("%+v, %v", snap.Errors, err)
	}
}
