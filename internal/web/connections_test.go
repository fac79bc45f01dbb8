package web_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

// ask sends a request over a connection of its own that stays open, and returns its
// first line.
func (b *bench) ask() (net.Conn, string) {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	// an error: the connection was cut, and the line is empty
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return conn, strings.TrimSpace(line)
}

// errs returns the next message, an error of this code.
func (c *wsClient) errs(code httpapi.Code) incoming {
	c.b.Helper()
	m := c.next()
	if m.Type != "error" || m.Code != code {
		c.b.Fatalf("got %+v, want error %s", m, code)
	}
	return m
}

// Connections beyond a limit are turned away, and those that end make room.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*web.Config)
		limited bool
	}{
		"all":        {func(c *web.Config) { c.MaxConnections = 3 }, true},
		"an address": {func(c *web.Config) { c.MaxConnectionsPerAddress = 3 }, true},
		"a trusted proxy": {func(c *web.Config) {
			c.MaxConnectionsPerAddress, c.TrustedProxies = 3, loopbackProxies
		}, false},
		"no limit": {func(*web.Config) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.change)
			var conns []net.Conn
			for range 3 {
				conn, line := b.ask()
				if line != "HTTP/1.1 200 OK" {
					t.Fatalf("within the limit: %q", line)
				}
				conns = append(conns, conn)
			}
			if _, line := b.ask(); (line == "HTTP/1.1 200 OK") == c.limited {
				t.Errorf("the next one: %q", line)
			}
			conns[0].Close()
			for until := time.Now().Add(10 * time.Second); ; {
				if conn, line := b.ask(); line == "HTTP/1.1 200 OK" {
					conn.Close()
					break
				}
				if time.Now().After(until) {
					t.Fatal("an end makes no room")
				}
			}
		})
	}
}

// A socket that watches many jobs takes the room of many that wait.
func TestSubscriptionsCount(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWaiters, c.MaxWait = 4, 10*time.Second })
	var revs []job.Rev
	for range 52 {
		snap := newSnapshot(job.Running, 5)
		b.put(snap)
		revs = append(revs, job.Rev{ID: snap.ID, Rev: 5})
	}
	full := func() bool {
		t.Helper()
		r := b.do("GET", httpapi.JobPath(revs[0].ID)+"?wait=1ms&after=5", "")
		if r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return r.header.Get("Retry-After") != ""
	}
	conn := b.socket(nil)
	conn.ask("subscribe", revs[:48]...) // three seats
	conn.ask("nonsense")
	conn.errs(httpapi.Invalid) // so the first message was taken
	if full() {
		t.Error("48 jobs take more than three of four seats")
	}
	conn.ask("subscribe", revs[48:]...)
	conn.ask("nonsense")
	conn.errs(httpapi.Invalid)
	if !full() {
		t.Error("52 jobs take less than four seats")
	}
	other := b.socket(nil)
	other.closes(1013)
	conn.ask("unsubscribe", revs[10:]...)
	conn.ask("nonsense")
	conn.errs(httpapi.Invalid)
	another := b.socket(nil) // there is room again
	another.ask("subscribe", revs...)
	if e := another.errs(httpapi.RateLimited); e.ID == "" {
		t.Errorf("beyond the room: %+v", e)
	}
}

// Who sends message after message is read no faster than the rate.
func TestSocketMessagesAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 10 * time.Second })
	conn := b.socket(nil)
	begun := time.Now()
	message := `{"type":"unsubscribe","jobs":[` + strings.Repeat(`{"id":"`+string(job.NewID(begun))+`"},`, 900)
	message = strings.TrimSuffix(message, ",") + "]}"
	for range 4 { // about 43 KiB each
		conn.send(message)
	}
	conn.ask("nonsense")
	conn.errs(httpapi.Invalid)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("%d KiB were taken within %v", 4*len(message)>>10, took)
	}
}
