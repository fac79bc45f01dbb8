//go:build linux

package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
)

// TestRawHTTP writes what an HTTP library would refuse to send.
func TestRawHTTP(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	address := strings.TrimPrefix(url, "http://")
	for name, c := range map[string]struct {
		text   string
		status int
		ours   bool // the refusal is a problem of ours, not net/http's own text
	}{
		"long header": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 17<<10) +
			"\r\n\r\n", 431, true},
		"many headers": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("A: b\r\n",
			5000) + "\r\n", 431, true},
		"very long header": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " +
			strings.Repeat("x", 200<<10) + "\r\n\r\n", 431, false},
		"long path": {"GET /" + strings.Repeat("p", 20<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
			431, true},
		"foreign host": {"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, true},
		"no HTTP":      {"HELO there\r\n\r\n", 400, false},
		"two lengths": {
			"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
			400, false},
		"bad chunk": {
			"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400,
			true},
		"NUL in the path": {"GET /v1/jobs/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 422, true},
		"absolute form":   {"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(60 * time.Second))
			go io.WriteString(conn, c.text)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			kind := resp.Header.Get("Content-Type")
			if resp.StatusCode != c.status || c.ours && kind != httpapi.TypeProblem {
				t.Errorf("answer %s of type %q, want %d", resp.Status, kind, c.status)
			}
		})
	}
	if said := web.said(`"level":"ERROR"`); len(said) > 0 {
		t.Errorf("server logged errors: %v", said)
	}
}
