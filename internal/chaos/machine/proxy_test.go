//go:build linux

package machine

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// echo is a server that answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewReader(conn); ; {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := conn.Write([]byte(line)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "redis://" + l.Addr().String()
}

// A line is a client's connection through the proxy.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *line {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &line{conn, bufio.NewReader(conn)}
}

// say sends a line and returns the answer, within a time.
func (l *line) say(text string, within time.Duration) (string, error) {
	l.SetDeadline(time.Now().Add(within))
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		return "", err
	}
	return l.in.ReadString('\n')
}

// TestProxy tries each thing that the proxy does to connections.
func TestProxy(t *testing.T) {
	t.Parallel()
	p, err := newProxy(echo(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	first := dial(t, p)
	if got, err := first.say("hello", 5*time.Second); got != "hello\n" || err != nil {
		t.Fatalf("answer %q, %v", got, err)
	}
	p.Slow(60 * time.Millisecond)
	begun := time.Now()
	if got, err := first.say("slow", 5*time.Second); got != "slow\n" || err != nil ||
		time.Since(begun) < 120*time.Millisecond {
		t.Errorf("answer %q, %v after %v", got, err, time.Since(begun))
	}
	p.Slow(0)
	p.HalfOpen()
	if got, err := first.say("anybody?", 200*time.Millisecond); err == nil {
		t.Errorf("a half-open connection answers %q", got)
	} else if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a half-open connection tells of its end: %v", err)
	}
	second := dial(t, p)
	if got, err := second.say("new", 5*time.Second); got != "new\n" || err != nil {
		t.Errorf("a new connection answers %q, %v", got, err)
	}
	p.Cut(true)
	block, answered := strings.Repeat("x", 1000), 0
	for range mostBudget/1000 + 2 {
		if _, err = second.say(block, 5*time.Second); err != nil {
			break
		}
		answered++
	}
	if cut := p.Cut(false); err == nil || cut == 0 || answered > mostBudget/1000 {
		t.Errorf("%d answers before the cut, %d cuts, %v", answered, cut, err)
	}
}

// TestDeaf loses what looks like a message of pub/sub, and nothing else.
func TestDeaf(t *testing.T) {
	t.Parallel()
	p, err := newProxy(echo(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l := dial(t, p)
	p.Deafen(true)
	if _, err := l.say("*3\r\n$7\r\nmessage\r", 200*time.Millisecond); err == nil {
		t.Error("a message came through")
	}
	if got, err := l.say("+PONG", 5*time.Second); got != "+PONG\n" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}
	if lost := p.Deafen(false); lost == 0 {
		t.Error("nothing is counted as lost")
	}
}
