//go:build linux

package e2e

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// plain sends requests as they are, each over a connection of its own.
var plain = &http.Client{Transport: withToken{&http.Transport{DisableKeepAlives: true}}, Timeout: time.Minute}

// webToken is the token of servers that have one, as all behind a proxy must;
// the others don't mind it. authorization is the header that carries it.
const (
	webToken      = "e2e-0123456789abcdefghijklmnop"
	authorization = "Authorization: Bearer " + webToken
)

// withToken adds webToken to requests that say nothing of any.
type withToken struct{ http.RoundTripper }

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Header["Authorization"]; !ok {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+webToken)
	}
	return w.RoundTripper.RoundTrip(r)
}

// A reply is an answer, read to its end.
type reply struct {
	*http.Response
	body []byte
}

// request sends a request; headers are "Name: value".
func request(t *testing.T, method, url string, body io.Reader, headers ...string) reply {
	t.Helper()
	r, err := tryRequest(t, method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRequest(t *testing.T, method, url string, body io.Reader, headers ...string) (reply, error) {
	return tryBy(t, plain, method, url, body, headers...)
}

func tryBy(t *testing.T, client *http.Client, method, url string, body io.Reader,
	headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		return reply{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp, text}, err
}

func (r reply) snapshot(t *testing.T) job.Snapshot {
	t.Helper()
	var snap job.Snapshot
	if err := json.Unmarshal(r.body, &snap); err != nil {
		t.Fatalf("%s, no job: %v: %s", r.Status, err, r.body)
	}
	return snap
}

// problem checks that the answer is the refusal that is wanted, and returns it.
func (r reply) problem(t *testing.T, status int, code httpapi.Code) httpapi.Error {
	t.Helper()
	var p httpapi.Error
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("%s, no problem: %s", r.Status, r.body)
	}
	if r.StatusCode != status || p.Status != status || p.Code != code ||
		r.Header.Get("Content-Type") != httpapi.TypeProblem {
		t.Errorf("answer %s, %s: %s; want %d %s", r.Status, r.Header.Get("Content-Type"), r.body, status, code)
	}
	return p
}

// poll returns what one request of a client sees once the condition holds, and
// asks again by long-poll until then.
func poll(t *testing.T, c *client.Client, id job.ID, what string,
	condition func(job.Snapshot) bool) job.Snapshot {
	t.Helper()
	for snap, err := range c.Follow(t.Context(), id) {
		if err != nil {
			t.Fatalf("follow %s until it %s: %v", id, what, err)
		}
		if condition(snap) {
			return snap
		}
		if snap.Done {
			t.Fatalf("job ended before it %s: %+v", what, snap)
		}
	}
	return job.Snapshot{}
}

// known waits until there is a job of an id that a client chose.
func known(t *testing.T, url string, id job.ID) {
	t.Helper()
	eventually(t, "the job is known", func() bool {
		return request(t, "GET", url+httpapi.JobPath(id), nil).StatusCode == http.StatusOK
	})
}

func runs(snap job.Snapshot) bool { return snap.State == job.Running }

// eventually asks again and again until the condition holds: for what nobody
// tells, like files of another process.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	within(t, 2*time.Minute, what, condition)
}

// within is eventually for what takes its time.
func within(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// files lists the files that hold or will hold data of jobs.
func (in *installation) files(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(in.blobs, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // deleted meanwhile
		}
		if err == nil && !d.IsDir() && d.Name() != "store-id" &&
			!strings.HasSuffix(path, "/installation/life") {
			names = append(names, strings.TrimPrefix(path, in.blobs+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// burner is a job that keeps a core busy for minutes.
var burner = client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 100_000_000_000}}

func submit(t *testing.T, c *client.Client, s client.Submission) job.Snapshot {
	t.Helper()
	snap, err := c.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}
