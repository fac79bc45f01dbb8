package lambda

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"longshore/internal/family"
	"longshore/internal/functions"
)

func python(t *testing.T, text string) (command []string, folder string) {
	t.Helper()
	folder = t.TempDir()
	command = languages[1].make(t, folder)
	if text != "" {
		if err := os.WriteFile(filepath.Join(folder, "app.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return command, folder
}

// TestStranger holds that who is not of the family gets no word out of the server.
func TestStranger(t *testing.T) {
	t.Parallel()
	if !canTellPeers {
		t.Skip("this system does not say whose a socket is")
	}
	command, folder := python(t, "")
	b := setup(t, command, folder)
	b.ok(`{"do":"echo"}`, nil)
	one, err := b.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := one.address()
	b.rest(one)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET "+invocation+"next HTTP/1.1\r\nHost: x\r\n\r\n")
	if n, err := conn.Read(make([]byte, 100)); n > 0 {
		t.Errorf("a stranger was answered: %v", err)
	}
	b.ok(`{"do":"echo"}`, nil)
}

// TestWarm holds that no more processes are kept than is said, that the one used least
// recently goes, and that jobs that need more get them.
func TestWarm(t *testing.T) {
	t.Parallel()
	command, folder := python(t, "")
	pool := NewPool(2)
	var benches []*bench
	for range 3 {
		b := setup(t, command, folder)
		b.pool = pool
		benches = append(benches, b)
	}
	var pids [3]int
	for i, b := range benches {
		var a about
		b.ok(`{"do":"about"}`, &a)
		pids[i] = a.PID
	}
	for began := time.Now(); family.Alive(pids[0]); runtime.Gosched() {
		if time.Since(began) > 60*time.Second {
			t.Fatal("the process that was used least recently lives on")
		}
	}
	if !family.Alive(pids[1]) || !family.Alive(pids[2]) {
		t.Error("others have gone")
	}
	// At once, more jobs than processes are kept: each runs.
	done := make(chan functions.Outcome, 6)
	for i := range cap(done) {
		go func() {
			out, _ := benches[i%3].do(context.Background(), `{"do":"sleep","n":200}`)
			done <- out
		}()
	}
	for range cap(done) {
		if out := <-done; out.Err != nil {
			t.Error(out.Err)
		}
	}
	for began := time.Now(); ; runtime.Gosched() {
		pool.mu.Lock()
		living, idle := pool.living, len(pool.idle)
		pool.mu.Unlock()
		if living == 2 && idle == 2 {
			break
		}
		if time.Since(began) > 60*time.Second {
			t.Fatalf("%d processes, %d of them idle", living, idle)
		}
	}
}

// TestSlowStart holds that a job whose time is over before its process is ready leaves
// the process to the next one.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	command, folder := python(t,
		"import os, time\nwhile not os.path.exists(os.path.join(os.environ['LAMBDA_TASK_ROOT'], 'go')):\n"+
			"    time.sleep(0.01)\ndef handler(event, context):\n    return os.getpid()\n")
	b := setup(t, command, folder)
	why := errors.New("why")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
	defer cancel()
	if out, _ := b.do(ctx, `{}`); !errors.Is(out.Err, why) {
		t.Errorf("ended with %v", out.Err)
	}
	if err := os.WriteFile(filepath.Join(folder, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.ok(`{}`, nil)
	b.pool.mu.Lock()
	defer b.pool.mu.Unlock()
	if b.pool.living > 2 {
		t.Errorf("%d processes", b.pool.living)
	}
}

// TestNoReturn holds that a process which does not ask for its next event is replaced,
// while its job has long ended.
func TestNoReturn(t *testing.T) {
	t.Parallel()
	command, folder := python(t, `import http.client, os, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("GET", "/2018-06-01/runtime/invocation/next")
event = api.getresponse()
event.read()
api.request("POST", "/2018-06-01/runtime/invocation/" + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", str(os.getpid()))
api.getresponse().read()
time.sleep(1000)
`)
	b := setup(t, []string{command[0], filepath.Join(folder, "app.py")}, folder)
	var pid int
	began := time.Now()
	b.ok(`{}`, &pid)
	if took := time.Since(began); took > returnPatience {
		t.Errorf("the job took %v", took)
	}
	for began := time.Now(); family.Alive(pid); runtime.Gosched() {
		if time.Since(began) > 3*returnPatience {
			t.Fatal("the process lives on")
		}
	}
}

// TestLateAnswer holds that the answer of a job that was stopped is taken politely while
// its process ends, and is nobody's result.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	c, _, _ := p.event(Event{Body: io.Discard})
	p.server.drop(c)
	status, _, _ := p.call("POST", invocation+c.id+"/error", `{"errorMessage":"late"}`)
	if status != http.StatusAccepted {
		t.Errorf("answered %d", status)
	}
}
