//go:build linux

package e2e

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestQueueFull fills a queue up to its limit by two web processes, has each way in refused with the
// time to come again, and everything done in the end by clients that wait for their turn.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	_, second := in.web(t)
	cli := func(args ...string) string {
		t.Helper()
		code, out, msg := call(t, "", append(in.env, "LONGSHORE_URL="+url), "enqueue", args...)
		if code != 0 {
			t.Fatalf("enqueue %v: %d %s", args, code, msg)
		}
		return out
	}
	cli("limits", "put", "few", "--type", "math.*", "--depth", "4")
	cli("limits", "put", "files", "--type", "file.*", "--depth", "1")
	c := clientOf(t, url)
	post := func(url string) reply {
		t.Helper()
		return request(t, "POST", url+httpapi.PathJobs,
			strings.NewReader(`{"type":"math.primes","payload":{"n":100}}`), "Content-Type: application/json")
	}
	// The other process has heard of the limits once it refuses; it does before it lets too many in.
	eventually(t, "both processes refuse", func() bool {
		return post(url).StatusCode == http.StatusTooManyRequests &&
			post(second).StatusCode == http.StatusTooManyRequests
	})
	submitFile := func() reply {
		return request(t, "POST", url+"/v1/jobs/file.checksum", strings.NewReader("data"))
	}
	if r := submitFile(); r.StatusCode != http.StatusAccepted {
		t.Fatalf("a file: %d %s", r.StatusCode, r.body)
	}
	eventually(t, "the file's job waits", func() bool {
		l, err := c.Limit(t.Context(), "files")
		return err == nil && l.Waiting != nil && *l.Waiting == 1
	})
	after := func(r reply, status int) {
		t.Helper()
		r.problem(t, status, httpapi.QueueFull)
		if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
			t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
		}
	}
	after(post(url), http.StatusTooManyRequests)
	after(post(second), http.StatusTooManyRequests)
	after(submitFile(), http.StatusServiceUnavailable)
	after(request(t, "POST", url+httpapi.PathUploads, nil, "Tus-Resumable: 1.0.0", "Upload-Length: 4",
		"Upload-Metadata: type "+base64.StdEncoding.EncodeToString([]byte("file.checksum"))),
		http.StatusServiceUnavailable)
	if code, _, msg := call(t, "", in.env, "enqueue", "submit", "math.primes", "--set",
		"n=100"); code != 69 || !strings.Contains(msg, "limit few") {
		t.Errorf("enqueue past web: exit code %d, %s", code, msg)
	}
	if out := cli("limits", "ls"); !strings.Contains(out, "few") || !strings.Contains(out, "math.*") {
		t.Errorf("listed: %s", out)
	}
	// Lines and submissions of clients that honour Retry-After all come in, while a worker makes room.
	patient, err := client.New(client.Config{URL: url, Token: webToken, RetryFor: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(patient.CloseIdleConnections)
	ids := make(chan job.ID, 100)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			snap, err := patient.Submit(t.Context(), client.Submission{Type: "math.primes",
				Payload: map[string]int{"n": 100}})
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			ids <- snap.ID
		})
	}
	clients.Go(func() {
		lines := func(yield func(client.Submission) bool) {
			for range 40 {
				if !yield(client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}}) {
					return
				}
			}
		}
		for a, err := range patient.SubmitBatch(t.Context(), lines) {
			if err != nil || a.Refused() != nil {
				t.Errorf("line: %+v, %v", a, err)
			}
			ids <- a.ID
		}
	})
	in.worker(t)
	clients.Wait()
	close(ids)
	n := 0
	for id := range ids {
		n++
		if snap, err := c.Wait(t.Context(), id); err != nil || snap.State != job.Succeeded {
			t.Errorf("%s: %+v, %v", id, snap, err)
		}
	}
	if n != 48 {
		t.Errorf("%d jobs came in", n)
	}
	cli("limits", "rm", "few")
	if list, err := c.Limits(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// TestLimitsOfTenants: a key sets and sees the limits of its own tenant, with scope operate; the audit log
// has it.
func TestLimitsOfTenants(t *testing.T) {
	t.Parallel()
	in := install(t, "LONGSHORE_TOKEN="+webToken)
	_, url := in.web(t)
	root := clientOf(t, url)
	key := func(scopes ...string) string {
		t.Helper()
		made, err := root.CreateKey(t.Context(), client.NewKey{Name: "some", Tenant: "acme", Scopes: scopes})
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + made.Key
	}
	look, act := key("jobs:read"), key("jobs:read", "jobs:submit", "operate")
	const path, kind, submission = "/v1/limits/few", "Content-Type: application/json",
		`{"type":"math.primes","payload":{"n":100}}`
	put := func(body string, headers ...string) reply {
		t.Helper()
		return request(t, "PUT", url+path, strings.NewReader(body), append(headers, kind)...)
	}
	put(`{"depth":1}`, look).problem(t, http.StatusForbidden, httpapi.Forbidden)
	if e := put(`{"depth":1,"match":{"tenant":"other"}}`, act).problem(t, http.StatusUnprocessableEntity,
		httpapi.Invalid); len(e.Errors) != 1 || e.Errors[0].Pointer != "/match/tenant" {
		t.Errorf("another tenant's: %+v", e)
	}
	if r := put(`{"depth":1}`, act); r.StatusCode != http.StatusCreated || r.Header.Get("Location") != path {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if r := put(`{"depth":1}`, authorization, "Longshore-Tenant: acme"); r.StatusCode != http.StatusOK {
		t.Errorf("the same by root for the tenant: %d %s", r.StatusCode, r.body)
	}
	post := func(headers ...string) reply {
		t.Helper()
		return request(t, "POST", url+httpapi.PathJobs, strings.NewReader(submission), append(headers, kind)...)
	}
	for range 2 { // of another tenant as many as come
		if r := post(); r.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
	}
	if r := post(act); r.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	post(act).problem(t, http.StatusTooManyRequests, httpapi.QueueFull)
	if r := request(t, "GET", url+httpapi.PathLimits, nil, look); r.StatusCode != http.StatusOK ||
		!strings.Contains(string(r.body), `"waiting":1`) {
		t.Errorf("seen by its tenant: %d %s", r.StatusCode, r.body)
	}
	// The installation has none of its own.
	request(t, "GET", url+path, nil).problem(t, http.StatusNotFound, httpapi.NotFound)
	if r := request(t, "DELETE", url+path, nil, act); r.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if r := post(act); r.StatusCode != http.StatusAccepted {
		t.Errorf("after the end of the limit: %d %s", r.StatusCode, r.body)
	}
	audit := string(request(t, "GET", url+"/v1/audit", nil).body)
	for _, want := range []string{`"limits.put"`, `"limits.remove"`, `"limit:few"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("the audit log lacks %s: %s", want, audit)
		}
	}
}
