package tus_test

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
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// begin asks for a new upload.
func (p *process) begin(headers ...string) answer {
	p.Helper()
	return p.do("POST", httpapi.PathUploads, nil, append([]string{"Upload-Length", "3",
		"Upload-Metadata", metadata("type", "file.checksum")}, headers...)...)
}

// TestOpenUploads bounds the uploads that were begun, by address and in all,
// through any process; each way to end one makes room.
func TestOpenUploads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]config{"per address": {openPerAddress: 2}, "in all": {open: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := install(t)
			a, b := in.start(t, c), in.start(t, c)
			key := []string{"Idempotency-Key", "k"}
			first := a.begin(key...)
			_, second := a.create(3)
			full := func(what string) {
				t.Helper()
				got := b.begin()
				if got.status != 503 || got.Get("Retry-After") == "" ||
					!strings.Contains(got.body, "rate_limited") {
					t.Errorf("%s: %d %s", what, got.status, got.body)
				}
				if n := a.partials(); n > 2 {
					t.Errorf("%s: %d partial blobs", what, n)
				}
			}
			full("two are open")
			if got := b.begin(key...); got.status != 201 || got.Get("Location") != first.Get("Location") {
				t.Errorf("one that is open is not gone on with: %d %s", got.status, got.body)
			}
			full("a repeat does not count")
			b.patch(second, 0, "abc")
			_, third := b.create(3)
			full("one is whole, and another one open")
			a.do("DELETE", third, nil)
			id, _ := b.create(3)
			full("one was deleted")
			if got := a.do("POST", httpapi.CancelPath(id), nil, "Content-Type", ""); got.status != 200 {
				t.Fatalf("cancel: %d %s", got.status, got.body)
			}
			a.eventually("a canceled one makes room", func() bool { return b.begin().status == 201 })
		})
	}
}

// TestOpenExpires forgets an upload that nobody ended.
func TestOpenExpires(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{open: 1, expiry: time.Second})
	p.create(3)
	if got := p.begin(); got.status != 503 {
		t.Errorf("while it is open: %d", got.status)
	}
	p.eventually("it expires", func() bool { return p.begin().status == 201 })
}

// TestNoStoreNoPartial begins uploads while there is no job store: nothing of
// them is left, however the store is away.
func TestNoStoreNoPartial(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	if server.Memory() {
		t.Skip("an in-memory stand-in can't be killed")
	}
	p := install(t).start(t, config{redis: server.URL()})
	p.create(3)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if got := p.begin(); got.status != 503 || got.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if n := p.partials(); n != 1 {
		t.Errorf("%d partial blobs, want the one before", n)
	}
}

// TestOneKeyTwoDoors sends a file whole under the key of an upload in pieces, and
// the other way round: neither is told that it was taken.
func TestOneKeyTwoDoors(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{})
	whole := func(key string) answer {
		return p.do("POST", httpapi.SubmitPath("file.checksum"), strings.NewReader("abc"), "Content-Type", "",
			"Idempotency-Key", key)
	}
	path := p.begin("Idempotency-Key", "pieces").Get("Location")
	if got := whole("pieces"); got.status != 409 {
		t.Errorf("whole, while pieces come: %d %s", got.status, got.body)
	}
	p.patch(path, 0, "abc")
	if got := whole("pieces"); got.status != 202 ||
		!strings.Contains(got.body, path[len(httpapi.PathUploads)+1:]) {
		t.Errorf("whole, after the pieces: %d %s", got.status, got.body)
	}
	conn := dial(t, p.url)
	fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: whole\r\nContent-Length: 3\r\n\r\na",
		httpapi.SubmitPath("file.checksum"))
	p.eventually("pieces are refused while it comes whole", func() bool {
		got := p.begin("Idempotency-Key", "whole")
		if got.status == 201 { // came first
			p.do("DELETE", got.Get("Location"), nil)
		}
		return got.status == 409 && got.Get("Retry-After") != ""
	})
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(90 * time.Second))
	return conn
}

// TestInterruptedPatch takes uploads over at each byte of their body, and just
// when it ends. Another request on the connection is answered as it should be, or
// the connection has ended; what is left of the body is no request.
func TestInterruptedPatch(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{})
	const hidden = "GET /v1/types HTTP/1.1\r\nHost: localhost\r\n\r\n"
	body := strings.Repeat("x", 20) + hidden
	var all sync.WaitGroup
	defer all.Wait()
	for at := 0; at <= len(body); at += 4 {
		for _, late := range []bool{false, true} { // the rest comes at the same time as the other request
			id, path := p.create(1000)
			all.Go(func() { p.interrupt(id, path, body, at, late) })
		}
	}
}

func (p *process) interrupt(id job.ID, path, body string, at int, late bool) {
	what := fmt.Sprintf("after %d bytes, late %v", at, late)
	conn := dial(p.T, p.url)
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"+
		"Content-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n%s", path, len(body),
		body[:at])
	answered, asked := make(chan struct{}), make(chan error, 1)
	go func() { // again and again: the first may come before the PATCH
		for {
			_, err := p.try("HEAD", path, nil)
			select {
			case <-answered:
				asked <- err
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	if !late {
		io.WriteString(conn, body[at:])
	}
	r := bufio.NewReader(conn)
	first, err := http.ReadResponse(r, nil)
	close(answered)
	if failed := <-asked; err != nil || failed != nil {
		p.Errorf("%s: %v, %v", what, err, failed)
		return
	}
	text, _ := io.ReadAll(first.Body)
	switch first.StatusCode {
	case 204, 409, 423, 503:
	default:
		p.Errorf("%s: PATCH of %s answered %s %s", what, id, first.Status, text)
	}
	if late {
		io.WriteString(conn, body[at:]) // an error is that the connection has ended
	}
	for range 3 {
		io.WriteString(conn, "GET /v1/jobs?limit=1 HTTP/1.1\r\nHost: localhost\r\nX: 1\r\n\r\n")
		next, err := http.ReadResponse(r, nil)
		if err != nil {
			return // closed
		}
		text, _ := io.ReadAll(next.Body)
		if first.Close || next.StatusCode == 499 || next.StatusCode == 503 ||
			strings.Contains(string(text), `"types"`) {
			p.Errorf("%s: after %s, close %v, the next request is answered %s %.100s", what, first.Status,
				first.Close, next.Status, text)
			return
		}
	}
}
