//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestNearlyFullRedis refuses new jobs while those that are there can end.
func TestNearlyFullRedis(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	early := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
	admin := redistest.ClientOf(t, in.redis.URL())
	// Beside this much the buffers of the programs' connections don't count.
	if err := admin.SetRange(t.Context(), "ballast", 50<<20, "x").Err(); err != nil {
		t.Fatal(err)
	}
	var used int64
	info, err := admin.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscanf(info[strings.Index(info, "used_memory:"):], "used_memory:%d", &used)
	limit := func(bytes int64) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(bytes)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	post := func() reply {
		t.Helper()
		return request(t, "POST", url+httpapi.PathJobs,
			strings.NewReader(`{"type":"math.primes","payload":{"n":100}}`))
	}
	limit(used * 100 / 85) // 85 % are in use
	eventually(t, "submits are refused", func() bool { return post().StatusCode != http.StatusAccepted })
	refused := post()
	refused.problem(t, http.StatusServiceUnavailable, httpapi.StoreFull)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	code, _, stderr := call(t, "", in.env, "enqueue", "submit", "math.primes", "--set", "n=100")
	if code != 69 || !strings.Contains(stderr, "nearly full") {
		t.Errorf("enqueue past web: exit code %d, %s", code, stderr)
	}
	in.worker(t)
	if snap := wait(t, c, early.ID); snap.State != job.Succeeded {
		t.Errorf("early job ended as %+v", snap)
	}
	limit(used * 10)
	eventually(t, "submits are taken again", func() bool { return post().StatusCode == http.StatusAccepted })
}

// TestUploadLimits sets each limit so low that an upload meets it.
func TestUploadLimits(t *testing.T) {
	t.Parallel()
	in := install(t)
	path := httpapi.SubmitPath("file.checksum")

	_, url := in.web(t, "MAX_UPLOADS_PER_ADDRESS=1")
	body, first := io.Pipe()
	status := make(chan int, 1)
	id := job.NewID(time.Now())
	go func() {
		r, err := tryRequest(t, "POST", url+path, body, "Longshore-Job: "+string(id))
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		status <- r.StatusCode
	}()
	first.Write([]byte("some"))
	known(t, url, id)
	second := request(t, "POST", url+path, strings.NewReader("more"))
	second.problem(t, http.StatusTooManyRequests, httpapi.RateLimited)
	if second.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	first.Close()
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("the first upload ended with %d", got)
	}
	eventually(t, "the next one is taken", func() bool {
		return request(t, "POST", url+path, strings.NewReader("more")).StatusCode == http.StatusAccepted
	})

	// What is announced and has no room is refused before it is sent.
	_, url = in.web(t, "MAX_UPLOAD=100TiB")
	conn := dial(t, url)
	fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path,
		int64(99)<<40)
	if answer, err := io.ReadAll(io.LimitReader(conn, 12)); err != nil || string(answer) != "HTTP/1.1 507" {
		t.Errorf("a file larger than the disk: %q, %v", answer, err)
	}
}

// TestMaxJobs refuses new jobs by every way in while as many are there as may be,
// ended ones too, and takes some again when one is gone.
func TestMaxJobs(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t, "MAX_JOBS=3")
	const one = `{"type":"math.primes","payload":{"n":100}}`
	post := func() reply {
		t.Helper()
		return request(t, "POST", url+httpapi.PathJobs, strings.NewReader(one))
	}
	var first job.Snapshot
	for i := range 3 {
		r := post()
		if r.StatusCode != http.StatusAccepted {
			t.Fatalf("job %d: %s", i, r.Status)
		}
		first = r.snapshot(t)
	}
	line := func() string { // one job, however often it is sent
		t.Helper()
		text := strings.Replace(one, "{", `{"idempotency_key":"k",`, 1) + "\n"
		return string(request(t, "POST", url+httpapi.PathBatch, strings.NewReader(text)).body)
	}
	eventually(t, "lines are refused", func() bool { return strings.Contains(line(), `"code":"store_full"`) })
	for what, r := range map[string]reply{
		"job":  post(),
		"file": request(t, "POST", url+httpapi.SubmitPath("file.checksum"), strings.NewReader("some")),
		"upload": request(t, "POST", url+httpapi.PathUploads, nil, "Tus-Resumable: 1.0.0", "Upload-Length: 4",
			"Upload-Metadata: "+metadata("type", "file.checksum")),
	} {
		if p := r.problem(t, http.StatusServiceUnavailable, httpapi.StoreFull); !strings.Contains(p.Detail,
			"MAX_JOBS") || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q", what, r.body, r.Header.Get("Retry-After"))
		}
	}
	enqueue := func(env ...string) (int, string) {
		code, _, stderr := call(t, "", slices.Concat(in.env, env), "enqueue", "submit", "math.primes",
			"--set", "n=100")
		return code, stderr
	}
	if code, stderr := enqueue("MAX_JOBS=3"); code != 69 || !strings.Contains(stderr, "MAX_JOBS") {
		t.Errorf("enqueue past web: exit code %d, %s", code, stderr)
	}
	if code, stderr := enqueue("MAX_JOBS=10"); code != 0 {
		t.Errorf("enqueue below its ceiling: exit code %d, %s", code, stderr)
	}

	c := clientOf(t, url)
	if _, err := c.Cancel(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	again := request(t, "POST", url+httpapi.JobPath(first.ID)+"/retry", nil)
	again.problem(t, http.StatusServiceUnavailable, httpapi.StoreFull) // an ended one counts
	var list struct{ Jobs []job.Snapshot }
	if err := json.Unmarshal(request(t, "GET", url+httpapi.PathJobs, nil).body, &list); err != nil ||
		len(list.Jobs) < 4 {
		t.Fatalf("%d jobs, %v", len(list.Jobs), err)
	}
	for _, snap := range list.Jobs[2:] { // two stay
		if _, err := c.Cancel(t.Context(), snap.ID); err != nil && !snap.Done {
			t.Fatal(err)
		}
		if err := c.Delete(t.Context(), snap.ID); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "submits are taken again", func() bool { return post().StatusCode == http.StatusAccepted })
}
