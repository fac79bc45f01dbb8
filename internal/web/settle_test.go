package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
)

// A bodyRoute is one that takes a body, or is sent one all the same.
type bodyRoute struct{ name, head, body string }

func bodyRoutes() []bodyRoute {
	const form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nsome text\r\n--b--\r\n and an epilogue"
	tus := "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
	return []bodyRoute{
		{"JSON", "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n", `{"type":"math.primes","payload":{"n":10}}`},
		{"wrong JSON", "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n", `{"type":"math.primes",,,,,,,`},
		{"raw", "POST /v1/jobs/log.analyze HTTP/1.1\r\n", strings.Repeat("some text\n", 5)},
		{"payload", "POST /v1/jobs/math.primes HTTP/1.1\r\n", `{"n":10}`},
		{"form", "POST /v1/jobs/log.analyze HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n", form},
		{"batch", "POST /v1/jobs/batch HTTP/1.1\r\n", strings.Repeat(`{"type":"math.primes","payload":{"n":10}}`+"\n", 2)},
		{"tus creation", "POST /v1/uploads HTTP/1.1\r\nUpload-Length: 9\r\nUpload-Metadata: " + metadata("type", "log.analyze") + "\r\n" + tus, "some text"},
		{"tus PATCH", "PATCH /v1/uploads/0199c0de-0000-7000-8000-000000000001 HTTP/1.1\r\nUpload-Offset: 0\r\n" + tus, "some text"},
		{"unknown type", "POST /v1/jobs/no.such HTTP/1.1\r\n", "some text"},
		{"no route", "POST /nowhere HTTP/1.1\r\n", "some text"},
		{"unauthorized", "POST /v1/jobs HTTP/1.1\r\nAuthorization: Bearer wrong\r\n", `{"type":"math.primes","payload":{"n":10}}`},
		{"encoded", "POST /v1/jobs/log.analyze HTTP/1.1\r\nContent-Encoding: gzip\r\n", "some text"},
		{"cancel", "POST /v1/jobs/0199c0de-0000-7000-8000-000000000001/cancel HTTP/1.1\r\n", "not wanted"},
		{"GET", "GET /v1/types HTTP/1.1\r\n", "not wanted"},
		{"DELETE", "DELETE /v1/jobs/0199c0de-0000-7000-8000-000000000001 HTTP/1.1\r\n", "not wanted"},
	}
}

// A rawConn speaks HTTP by hand.
type rawConn struct {
	net.Conn
	*bufio.Reader
}

func dialRaw(t *testing.T, url string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		panic(err) // also of goroutines, which can't end a test
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	return &rawConn{conn, bufio.NewReader(conn)}
}

// answer reads one answer; nil at the connection's end.
func (c *rawConn) answer() (*http.Response, string) {
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return nil, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp, string(text)
}

const hostAndToken = "Host: localhost\r\nAuthorization: Bearer secret\r\n"

// hidden is what an attacker puts behind a part of a body: it must never be
// taken for a request.
const hidden = "GET /healthz HTTP/1.1\r\n" + hostAndToken + "X-Hidden: 1\r\n\r\n"

// TestBodyEnds sends each route bodies that end in each way, and another request
// on the same connection: that is answered as it should be, or the connection is
// at its end. What is in a body is never a request.
func TestBodyEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token, c.Idle = "secret", 400*time.Millisecond })
	head := func(r bodyRoute, more string) string {
		token := hostAndToken
		if strings.Contains(r.head, "Authorization:") {
			token = "Host: localhost\r\n"
		}
		return r.head + token + more + "\r\n"
	}
	var all sync.WaitGroup // not subtests: of those two run at a time, and these wait
	defer all.Wait()
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	for _, r := range bodyRoutes() {
		// what is sent, and what comes when it was answered: the rest, as the client sees it
		ways := map[string][2]string{
			"whole":           {head(r, fmt.Sprintf("Content-Length: %d\r\n", len(r.body))) + r.body, ""},
			"chunked":         {head(r, "Transfer-Encoding: chunked\r\n") + chunk(r.body) + "0\r\n\r\n", ""},
			"no last chunk":   {head(r, "Transfer-Encoding: chunked\r\n") + chunk(r.body), chunk(hidden) + "0\r\n\r\n"},
			"bad chunk":       {head(r, "Transfer-Encoding: chunked\r\n") + "3\r\nabcdef\r\n", hidden},
			"expects":         {head(r, fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n", len(r.body)+len(hidden))), r.body + hidden},
			"over all bounds": {head(r, fmt.Sprintf("Content-Length: %d\r\n", 1<<40)) + r.body, hidden},
		}
		for _, at := range []int{0, 1, len(r.body) / 2, len(r.body) - 1, len(r.body)} {
			ways[fmt.Sprintf("silent after %d", at)] = [2]string{
				head(r, fmt.Sprintf("Content-Length: %d\r\n", len(r.body)+len(hidden))) + r.body[:at], r.body[at:] + hidden}
		}
		for way, c := range ways {
			all.Go(func() { sendTwice(t, b.url, r.name+", "+way, c[0], c[1]) })
		}
	}
}

// sendTwice sends a request, what comes behind its answer, and another request.
func sendTwice(t *testing.T, url, name, head, rest string) {
	conn := dialRaw(t, url)
	sent := time.Now()
	io.WriteString(conn, head)
	first, text := conn.answer()
	for first != nil && first.StatusCode == http.StatusContinue {
		first, text = conn.answer()
	}
	if took := time.Since(sent); took > 30*time.Second {
		t.Errorf("%s: answered after %v", name, took)
	}
	if first != nil && first.StatusCode == http.StatusServiceUnavailable && first.Header.Get("Retry-After") == "" {
		t.Errorf("%s: 503 without Retry-After: %s", name, text)
	}
	io.WriteString(conn, rest) // an error is that the connection has ended
	io.WriteString(conn, "GET /v1/types HTTP/1.1\r\n"+hostAndToken+"\r\n")
	second, body := conn.answer()
	switch {
	case second == nil: // closed
		if first != nil && !first.Close && rest == "" {
			t.Errorf("%s: closed after a whole body and %s", name, first.Status)
		}
		return
	case first != nil && first.Close:
		t.Errorf("%s: said close and answered %s %s", name, second.Status, body)
	case second.StatusCode != http.StatusOK || !strings.Contains(body, `"types"`):
		t.Errorf("%s: after %v the second request is answered %s %s", name, first, second.Status, body)
	}
	conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if third, body := conn.answer(); third != nil {
		t.Errorf("%s: a third answer, %s %s", name, third.Status, body)
	}
}

// TestRefusalAtOnce is told off a body that stalls, without waiting for it.
func TestRefusalAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token, c.Idle, c.MaxUpload = "secret", time.Minute, 1000 })
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"unauthorized": {"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n", 401},
		"chunked":      {"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 401},
		"no route":     {"POST /nowhere HTTP/1.1\r\n" + hostAndToken + "Content-Length: 100\r\n\r\n", 404},
		"too large":    {"POST /v1/jobs/log.analyze HTTP/1.1\r\n" + hostAndToken + "Content-Length: 1001\r\n\r\n", 413},
		"media type":   {"POST /v1/jobs HTTP/1.1\r\n" + hostAndToken + "Content-Type: text/html\r\nContent-Length: 100\r\n\r\nsome", 415},
		"unknown type": {"POST /v1/jobs/no.such HTTP/1.1\r\n" + hostAndToken + "Content-Length: 100\r\n\r\n", 422},
		"GET":          {"GET /v1/types HTTP/1.1\r\n" + hostAndToken + "Content-Length: 100\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, sent := dialRaw(t, b.url), time.Now()
			io.WriteString(conn, c.head)
			resp, text := conn.answer()
			if resp == nil || resp.StatusCode != c.status || !resp.Close {
				t.Fatalf("%v %s", resp, text)
			}
			if took := time.Since(sent); took > 30*time.Second {
				t.Errorf("answered after %v", took)
			}
			if _, err := conn.ReadByte(); err == nil {
				t.Error("more than one answer")
			}
			if took := time.Since(sent); took > 40*time.Second {
				t.Errorf("closed after %v", took)
			}
		})
	}
}

// TestContentEncoding refuses bodies that were compressed on the way, on every
// route that would store them as they come.
func TestContentEncoding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, coding := range []string{"gzip", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP", "aes128gcm"} {
		for _, path := range []string{"/v1/jobs/log.analyze", "/v1/jobs/batch", "/v1/jobs/math.primes"} {
			r := b.do("POST", path, "coded", "Content-Encoding", coding)
			r.problem(415, httpapi.Unsupported)
			if r.header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s %s: not told what is accepted", path, coding)
			}
		}
		b.do("POST", "/v1/uploads", "coded", "Content-Encoding", coding, "Upload-Length", "5", "Upload-Metadata", metadata("type", "log.analyze")).
			problem(415, httpapi.Unsupported)
	}
	for _, coding := range []string{"identity", "Identity", ""} {
		if r := b.do("POST", "/v1/jobs/log.analyze", "plain", "Content-Encoding", coding); r.status != 202 {
			t.Errorf("%q: %d %s", coding, r.status, r.body)
		}
	}
}
