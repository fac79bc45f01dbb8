//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
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
		return request(t, "POST", url+httpapi.PathJobs, strings.NewReader(`{"type":"math.primes","payload":{"n":100}}`))
	}
	limit(used * 100 / 85) // 85 % are in use
	eventually(t, "submits are refused", func() bool { return post().StatusCode != http.StatusAccepted })
	refused := post()
	refused.problem(t, http.StatusServiceUnavailable, httpapi.QueueFull)
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
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, int64(99)<<40)
	if answer, err := io.ReadAll(io.LimitReader(conn, 12)); err != nil || string(answer) != "HTTP/1.1 507" {
		t.Errorf("a file larger than the disk: %q, %v", answer, err)
	}
}
