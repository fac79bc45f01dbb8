package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

func TestUnknownPathAndMethod(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/", "").problem(404, httpapi.NotFound)
	b.do("GET", "/v1/nothing", "").problem(404, httpapi.NotFound)
	r := b.do("PUT", "/v1/jobs", "x")
	r.problem(405, httpapi.Unsupported)
	if allow := r.header.Get("Allow"); allow != "GET, HEAD, POST" {
		t.Errorf("Allow %q", allow)
	}
	r = b.do("BREW", "/v1/jobs/"+string(job.NewID(time.Now())), "")
	r.problem(405, httpapi.Unsupported)
	if r := b.do("HEAD", "/v1/nothing", ""); r.status != 404 || r.body != "" {
		t.Errorf("HEAD: %d %q", r.status, r.body)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	const good, evil = "https://app.example.com", "https://evil.example.com"
	b := setup(t, func(c *web.Config) { c.Origins = []string{good} })
	r := b.do("OPTIONS", "/v1/jobs", "", "Origin", good, "Access-Control-Request-Method", "POST")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != good ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
	if r := b.do("OPTIONS", "/v1/jobs", "", "Origin", evil, "Access-Control-Request-Method",
		"POST"); r.header.Get("Access-Control-Allow-Origin") != "" || r.status < 400 {
		t.Errorf("preflight of another: %d %v", r.status, r.header)
	}
	r = b.do("GET", "/v1/jobs", "", "Origin", good, "Sec-Fetch-Site", "cross-site")
	if r.status != 200 || r.header.Get("Access-Control-Allow-Origin") != good ||
		r.header.Get("Vary") != "Origin" ||
		!strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "ETag") {
		t.Errorf("get: %d %v", r.status, r.header)
	}
	if r := b.do("GET", "/v1/jobs", "", "Origin", evil); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("get of another: %v", r.header)
	}
	submit := `{"type":"math.primes","payload":{"n":1}}`
	if r := b.do("POST", "/v1/jobs", submit, "Origin", good, "Sec-Fetch-Site",
		"cross-site"); r.status != 202 {
		t.Errorf("post: %d %s", r.status, r.body)
	}
	b.do("POST", "/v1/jobs", submit, "Origin", evil, "Sec-Fetch-Site", "cross-site").
		problem(403, httpapi.Forbidden)
	b.do("POST", "/v1/jobs", submit, "Origin", evil).problem(403, httpapi.Forbidden)
	r = b.do("POST", "/v1/jobs", "{", "Origin", good)
	r.problem(400, httpapi.Invalid)
	if r.header.Get("Access-Control-Allow-Origin") != good {
		t.Error("an allowed page can't read its error")
	}
	if _, err := web.New(web.Config{Origins: []string{"app.example.com"}}, web.Deps{}); err == nil {
		t.Error("an origin without scheme is taken")
	}
}

func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if r := b.do("GET", "/healthz", "", "X-Long", strings.Repeat("x", 12<<10)); r.status != 200 {
		t.Errorf("12 KiB: %d", r.status)
	}
	b.do("GET", "/healthz", "", "X-Long", strings.Repeat("x", 17<<10)).problem(431, httpapi.TooLarge)
	b.do("GET", "/v1/jobs?type="+strings.Repeat("x", 17<<10), "").problem(431, httpapi.TooLarge)
	if r := b.do("GET", "/healthz", "", "X-Long", strings.Repeat("x", 100<<10)); r.status != 431 {
		t.Errorf("100 KiB: %d", r.status)
	}
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/v1/jobs/"+string(job.NewID(time.Now()))+"?wait=1s&after=77777", "")
	// logged when it returns
	b.server.ServeHTTP(httptest.NewRecorder(),
		httptest.NewRequest("GET", "http://localhost/v1/types?SECRET=1", nil))
	log := b.log.String()
	if !strings.Contains(log, `"route":"/v1/jobs/{id}"`) || !strings.Contains(log, `"status":404`) ||
		strings.Contains(log, "77777") || strings.Contains(log, "SECRET") {
		t.Errorf("log:\n%s", log)
	}
}

// At shutdown waiters are answered with the state as it is, an upload may end,
// and nothing is left.
func TestServeShutdown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	url, served, cancel := b.serve()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()

	body, upload := io.Pipe()
	uploaded := make(chan int, 1)
	go func() {
		resp, err := client.Post(url+"/v1/jobs/log.analyze", "text/plain", body)
		if err != nil {
			t.Error(err)
			uploaded <- 0
			return
		}
		resp.Body.Close()
		uploaded <- resp.StatusCode
	}()
	upload.Write([]byte("first")) // the upload is under way

	const waiters = 20
	states := make(chan job.Snapshot, waiters)
	for range waiters {
		go func() {
			resp, err := client.Get(url + "/v1/jobs/" + string(snap.ID) + "?wait=25s")
			if err != nil {
				t.Error(err)
				states <- job.Snapshot{}
				return
			}
			defer resp.Body.Close()
			var got job.Snapshot
			json.NewDecoder(resp.Body).Decode(&got)
			states <- got
		}()
	}
	for waiting := 0; waiting < waiters; { // until the server has them all
		b.mu.Lock()
		waiting = b.waited
		b.mu.Unlock()
	}
	begun := time.Now()
	cancel()
	for range waiters {
		if got := <-states; got.State != job.Running || got.Rev != 5 {
			t.Errorf("waiter got %+v", got)
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("waiters were answered after %v", took)
	}
	select {
	case err := <-served:
		t.Fatalf("Serve returned before the upload ended: %v", err)
	default:
	}
	upload.Write([]byte("second"))
	upload.Close()
	if status := <-uploaded; status != 202 {
		t.Errorf("upload: %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if r := b.do("GET", "/readyz", ""); r.status != 503 {
		t.Errorf("readyz while stopping: %d", r.status)
	}
}

// A client that leaves ends its wait.
func TestClientGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	conn := b.dial("GET /v1/jobs/" + string(snap.ID) + "?wait=25s HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for waiting := 0; waiting == 0; {
		b.mu.Lock()
		waiting = b.waited
		b.mu.Unlock()
	}
	conn.Close()
	begun := time.Now()
	for !strings.Contains(b.log.String(), `"status":499`) {
		if time.Since(begun) > 60*time.Second {
			t.Fatalf("not noticed:\n%s", b.log.String())
		}
	}
}
