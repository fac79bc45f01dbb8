package lambda

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A peer is a process's side, as far as HTTP goes.
type peer struct {
	t      *testing.T
	server *server
	client *http.Client
}

func setupServer(t *testing.T) *peer {
	t.Helper()
	s, err := newServer(About{Type: "a.b", Version: "7", Handler: "app.handler"})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(func(net.Conn) bool { return true })
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); s.close() })
	return &peer{t, s, &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

func (p *peer) url(path string) string { return "http://" + p.server.address() + path }

const invocation = "/2018-06-01/runtime/invocation/"

// call makes a request and returns status, headers and body.
func (p *peer) call(method, path, body string) (int, http.Header, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url(path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

func (p *peer) do(r *http.Request) (int, http.Header, string) {
	p.t.Helper()
	res, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// event hands an event over and returns what the process got.
func (p *peer) event(e Event) (*call, http.Header, string) {
	p.t.Helper()
	type got struct {
		header http.Header
		body   string
	}
	asked := make(chan got, 1)
	go func() {
		res, err := p.client.Get(p.url(invocation + "next"))
		if err != nil {
			close(asked)
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		asked <- got{res.Header, string(text)}
	}()
	c := p.invoke(e)
	g, ok := <-asked
	if !ok {
		p.t.Fatal("the event did not come")
	}
	return c, g.header, g.body
}

// invoke hands an event over once the process waits for one.
func (p *peer) invoke(e Event) *call {
	p.t.Helper()
	for {
		p.server.mu.Lock()
		waits, changed := p.server.waiter != nil, p.server.changed
		p.server.mu.Unlock()
		if waits {
			break
		}
		select {
		case <-changed:
		case <-time.After(60 * time.Second):
			p.t.Fatal("the process does not ask for an event")
		}
	}
	c, err := p.server.invoke(e)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func ended(t *testing.T, c *call) error {
	t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(60 * time.Second):
		t.Fatal("the job has no end")
		return nil
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	var body bytes.Buffer
	deadline := time.UnixMilli(1789000000123)
	c, header, text := p.event(Event{Payload: []byte(`{"a":1}`), Deadline: deadline, Body: &body,
		Custom: map[string]string{"job": "j1", "input_type": "téxt/\U0001F600\n"}})
	if text != `{"a":1}` || header.Get("Lambda-Runtime-Aws-Request-Id") != c.id || len(c.id) != 36 {
		t.Errorf("event %q of id %q", text, header.Get("Lambda-Runtime-Aws-Request-Id"))
	}
	if got := header.Get("Lambda-Runtime-Deadline-Ms"); got != "1789000000123" {
		t.Errorf("deadline %q", got)
	}
	if got := header.Get("Lambda-Runtime-Invoked-Function-Arn"); got !=
		"arn:aws:lambda:local:000000000000:function:a.b" {
		t.Errorf("ARN %q", got)
	}
	if got := header.Get("Lambda-Runtime-Trace-Id"); !strings.HasPrefix(got, "Root=1-") ||
		len(got) != len("Root=1-12345678-123456789012345678901234;Parent=1234567890123456;Sampled=0") {
		t.Errorf("trace %q", got)
	}
	raw := header.Get("Lambda-Runtime-Client-Context")
	var context struct{ Custom map[string]string }
	if err := json.Unmarshal([]byte(raw), &context); err != nil ||
		context.Custom["input_type"] != "téxt/\U0001F600\n" ||
		strings.ContainsFunc(raw, func(r rune) bool { return r > 126 }) {
		t.Errorf("client context %q: %v", raw, err)
	}
	if status, _, _ := p.call("POST", invocation+c.id+"/response", `{"b":2}`); status != 202 {
		t.Errorf("answered %d", status)
	}
	if err := ended(t, c); err != nil || body.String() != `{"b":2}` {
		t.Errorf("ended %v with %q", err, body.String())
	}
	if c, _, _ := p.event(Event{Body: io.Discard}); len(c.id) != 36 ||
		c.id == header.Get("Lambda-Runtime-Aws-Request-Id") {
		t.Errorf("second id %q", c.id)
	}
}

// TestWrongAnswers holds that an answer to another id, and a second one, change nothing.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	if status, _, _ := p.call("POST", invocation+"x/response", "1"); status != 400 {
		t.Errorf("an answer before any event: %d", status)
	}
	var body bytes.Buffer
	c, _, _ := p.event(Event{Body: &body})
	for _, path := range []string{newID() + "/response", newID() + "/error"} {
		if status, _, text := p.call("POST", invocation+path, `{}`); status != 400 ||
			!strings.Contains(text, "InvalidRequestID") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	select {
	case err := <-c.done:
		t.Fatalf("ended by another's answer: %v", err)
	default:
	}
	p.call("POST", invocation+c.id+"/response", "first")
	for _, path := range []string{"/response", "/error"} {
		if status, _, _ := p.call("POST", invocation+c.id+path, `{"errorMessage":"second"}`); status != 400 {
			t.Errorf("second answer %s: %d", path, status)
		}
	}
	if err := ended(t, c); err != nil || body.String() != "first" {
		t.Errorf("ended %v with %q", err, body.String())
	}
	if status, _, _ := p.call("GET", "/2018-06-01/runtime/none", ""); status != 404 {
		t.Errorf("a path that is none: %d", status)
	}
}

// TestDropped holds that the answer of a job that was lost is taken and dropped.
func TestDropped(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	c, _, _ := p.event(Event{Body: writer(func([]byte) error { return errors.New("written to") })})
	p.server.drop(c)
	if status, _, _ := p.call("POST", invocation+c.id+"/response", "late"); status != 202 {
		t.Errorf("a late answer: %d", status)
	}
	if err := ended(t, c); err != nil {
		t.Error(err)
	}
}

type writer func([]byte) error

func (w writer) Write(p []byte) (int, error) { return len(p), w(p) }

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header, body, want string
		final                    bool
	}{
		{"whole", "", `{"errorMessage":"no luck","errorType":"ValueError","stackTrace":["a","b"]}`,
			"ValueError: no luck", false},
		{"header only", "Function.Bad", ``, "Function.Bad", false},
		{"final", "", `{"errorMessage":"never","errorType":"LongshoreFail"}`, "LongshoreFail: never", true},
		{"final by header", "LongshoreFail", `{"errorMessage":"never","errorType":"x"}`,
			"LongshoreFail: never", true},
		{"text", "", "broken\n", "broken", false},
		{"numbers", "", `{"errorMessage":7,"errorType":null}`, "7", false},
		{"nothing", "", ``, "the function failed and did not say why", false},
		{"no UTF-8", "", "\xff\xfe", "\uFFFD", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := setupServer(t)
			call, _, _ := p.event(Event{Body: io.Discard})
			r, _ := http.NewRequestWithContext(t.Context(), "POST", p.url(invocation+call.id+"/error"),
				strings.NewReader(c.body))
			if c.header != "" {
				r.Header.Set(errorTypeHeader, c.header)
			}
			if status, _, _ := p.do(r); status != 202 {
				t.Errorf("answered %d", status)
			}
			said, _ := Cause(ended(t, call))
			if said == nil || said.Error() != c.want || said.Final() != c.final {
				t.Errorf("ended %v, want %q", said, c.want)
			}
		})
	}
}

// TestTrailers holds that an error after a streamed body counts, as one before would.
func TestTrailers(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	c, _, _ := p.event(Event{Body: io.Discard})
	r, _ := http.NewRequestWithContext(t.Context(), "POST", p.url(invocation+c.id+"/response"),
		io.MultiReader(strings.NewReader("part")))
	r.ContentLength = -1
	r.Trailer = http.Header{errorTypeHeader: {"StreamError"},
		errorBodyHeader: {base64.StdEncoding.EncodeToString([]byte(`{"errorMessage":"half way"}`))}}
	if status, _, _ := p.do(r); status != 202 {
		t.Errorf("answered %d", status)
	}
	if err := ended(t, c); err == nil || err.Error() != "StreamError: half way" {
		t.Errorf("ended %v", err)
	}
}

// raw opens a connection of its own and writes to it.
func (p *peer) raw(text string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.server.address())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// TestCutShort holds that half a body is a failure, and no answer.
func TestCutShort(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	c, _, _ := p.event(Event{Body: io.Discard})
	conn := p.raw("POST " + invocation + c.id +
		"/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n")
	conn.Close()
	if err := ended(t, c); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("ended %v", err)
	}
}

// TestTooMuch holds that a job ends as soon as its answer is too long, and that the
// process is heard out and lives.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	limit := errors.New("over the limit")
	n := 0
	c, _, _ := p.event(Event{Body: writer(func(b []byte) error {
		if n += len(b); n > 1<<20 {
			return limit
		}
		return nil
	})})
	read, write := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", p.url(invocation+c.id+"/response"), read)
		status, _, _ := p.do(r)
		answered <- status
	}()
	chunk := make([]byte, 64<<10)
	for range 32 {
		if _, err := write.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := ended(t, c); !errors.Is(err, limit) {
		t.Errorf("ended %v while the answer goes on", err)
	}
	for range 64 {
		if _, err := write.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	write.Close()
	if status := <-answered; status != 202 {
		t.Errorf("answered %d", status)
	}
	p.event(Event{Body: io.Discard}) // it lives
}

// TestNextWithoutAnswer holds that a process which loses its event is broken.
func TestNextWithoutAnswer(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	c, _, _ := p.event(Event{Body: io.Discard})
	if status, _, _ := p.call("GET", invocation+"next", ""); status != 400 {
		t.Errorf("next without an answer: %d", status)
	}
	_, crash := Cause(ended(t, c))
	if crash == nil {
		t.Error("the job has not crashed")
	}
	if _, err := p.server.invoke(Event{}); err == nil {
		t.Error("a broken process got an event")
	}
}

// TestHangUp holds that an event is not given to a connection that was closed.
func TestHangUp(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	first := p.raw("GET " + invocation + "next HTTP/1.1\r\nHost: x\r\n\r\n")
	<-p.server.ready
	// The second call takes over; the first is told.
	second := p.raw("GET " + invocation + "next HTTP/1.1\r\nHost: x\r\n\r\n")
	defer second.Close()
	defer first.Close()
	res, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil || res.StatusCode != 400 {
		t.Fatalf("the first call: %v %v", res, err)
	}
	c := p.invoke(Event{Body: io.Discard, Payload: []byte("{}")})
	if res, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil ||
		res.Header.Get("Lambda-Runtime-Aws-Request-Id") != c.id {
		t.Fatalf("the second call: %v %v", res, err)
	}
}

func TestInitError(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	if status, _, _ := p.call("POST", "/2018-06-01/runtime/init/error",
		`{"errorMessage":"no module app","errorType":"Runtime.ImportModuleError"}`); status != 202 {
		t.Errorf("answered %d", status)
	}
	if err := <-p.server.failed; err == nil || err.Error() != "Runtime.ImportModuleError: no module app" {
		t.Errorf("failed with %v", err)
	}
	if status, _, _ := p.call("GET", invocation+"next", ""); status != 400 {
		t.Errorf("next after a failed start: %d", status)
	}
}

// TestExtension holds that an extension can register and then waits.
func TestExtension(t *testing.T) {
	t.Parallel()
	p := setupServer(t)
	status, header, text := p.call("POST", "/2020-01-01/extension/register", `{"events":[]}`)
	if status != 200 || !strings.Contains(text, `"functionName":"a.b"`) {
		t.Errorf("registered: %d %s", status, text)
	}
	if status, _, _ := p.call("GET", "/2020-01-01/extension/event/next", ""); status != 403 {
		t.Errorf("an unknown extension: %d", status)
	}
	conn := p.raw(
		fmt.Sprintf(
			"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: %s\r\n\r\n",
			header.Get("Lambda-Extension-Identifier")))
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("an event came")
	}
}
