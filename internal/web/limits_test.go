package web_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
)

// TestUploadsPerAddress lets each address have two uploads under way.
func TestUploadsPerAddress(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxUploadsPerAddress = 2 }, behindProxy)
	const path, from = "/v1/jobs/log.analyze", "X-Forwarded-For"
	var pipes []*io.PipeWriter
	statuses := make(chan int, 2)
	for range 2 {
		body, pipe := io.Pipe()
		pipes = append(pipes, pipe)
		go func() { statuses <- b.send("POST", path, body, from, "203.0.113.7").status }()
		pipe.Write([]byte("first")) // taken: the server is asked
	}
	var third reply
	for third.status != http.StatusTooManyRequests { // until the server has both
		third = b.do("POST", path, "x", from, "203.0.113.7")
	}
	third.problem(429, httpapi.RateLimited)
	if third.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if r := b.do("POST", path, "x", from, "203.0.113.8"); r.status != 202 {
		t.Errorf("another address: %d %s", r.status, r.body)
	}
	if r := b.do("POST", "/v1/jobs/math.primes?n=10", "", from, "203.0.113.7"); r.status != 202 {
		t.Errorf("a job without a file: %d %s", r.status, r.body)
	}
	for _, pipe := range pipes {
		pipe.Close()
		if status := <-statuses; status != 202 {
			t.Errorf("upload under way ended with %d", status)
		}
	}
	for range 3 {
		if r := b.do("POST", path, "x", from, "203.0.113.7"); r.status != 202 {
			t.Errorf("after they ended: %d %s", r.status, r.body)
		}
	}
}

// TestSlowUpload sends a trickle that never pauses: it is cut off.
func TestSlowUpload(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MinUploadRate, c.Idle = 1<<20, 300*time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn,
		"POST /v1/jobs/log.analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
	done := make(chan string)
	go func() {
		answer, _ := io.ReadAll(io.LimitReader(conn, 12))
		done <- string(answer)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(90 * time.Second)
	for {
		select {
		case answer := <-done:
			if answer != "HTTP/1.1 408" {
				t.Errorf("answer %q", answer)
			}
			return
		case <-tick.C:
			conn.Write([]byte("a trickle "))
		case <-patience:
			t.Fatal("a client that sends 1 KB a second is not cut off")
		}
	}
}

// TestFreeSpace refuses what would use the last space, before its body is read.
func TestFreeSpace(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MinFreeSpace = 1000 })
	for _, c := range []struct {
		free, total int64
		size        int
		status      int
	}{
		{1_000_000, 2_000_000, 500, 202},
		{1400, 2_000_000, 400, 202},
		{1400, 2_000_000, 401, 507}, // it would be too much
		{999, 2_000_000, 1, 507},
		{999, 10_000, 1, 202}, // small: a twentieth stays free
		{500, 10_000, 1, 507},
	} {
		b.mu.Lock()
		b.free, b.total = c.free, c.total
		b.mu.Unlock()
		r := b.do("POST", "/v1/jobs/log.analyze", strings.Repeat("x", c.size))
		if r.status != c.status {
			t.Errorf("%+v: %d %s", c, r.status, r.body)
		}
		if c.status == 507 {
			r.problem(507, httpapi.Unavailable)
		}
	}
	b.mu.Lock()
	b.free = 0
	b.mu.Unlock()
	// Nobody ever reads this body.
	body, pipe := io.Pipe()
	defer pipe.Close()
	b.send("POST", "/v1/jobs/log.analyze", body, "Expect", "100-continue").problem(507, httpapi.Unavailable)
	if r := b.do("POST", "/v1/jobs/math.primes?n=10", ""); r.status != 202 {
		t.Errorf("a job without a file: %d %s", r.status, r.body)
	}
}
