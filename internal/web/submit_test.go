package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web"
	"longshore/job"
)

func (b *bench) lastRequest() submit.Request {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.reqs) == 0 {
		b.Fatal("nothing was submitted")
	}
	return b.reqs[len(b.reqs)-1]
}

func (b *bench) input(id job.ID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.files[string(id)+"/in"])
}

func TestSubmitJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := job.NewID(time.Now())
	r := b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":100},"priority":"high","run_at":"2030-01-02T03:04:05Z",
		"timeout":"1500ms","expires_in":90,"max_attempts":7,"retention":"2h"}`, "Content-Type", "application/json", "Longshore-Job", string(id))
	snap := r.snapshot()
	if r.status != 202 || r.header.Get("Location") != "/v1/jobs/"+string(id) || snap.ID != id ||
		snap.Links.Cancel == "" ||
		r.header.Get("ETag") != `"1"` || r.header.Get("Longshore-Job") != string(id) {
		t.Errorf("got %d %v %s", r.status, r.header, r.body)
	}
	got := b.lastRequest()
	if got.Timeout != 1500*time.Millisecond || got.ExpiresIn != 90*time.Second || got.MaxAttempts != 7 ||
		got.Retention != 2*time.Hour ||
		got.Priority != job.High || got.RunAt.Year() != 2030 || string(got.Payload) != `{"n":100}` {
		t.Errorf("request %+v", got)
	}
	// curl -d says that everything is a form.
	if r := b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":1}}`, "Content-Type",
		"application/x-www-form-urlencoded"); r.status != 202 {
		t.Errorf("curl -d: %d %s", r.status, r.body)
	}
}

func TestSubmitJSONRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	post := func(body string, headers ...string) reply {
		t.Helper()
		return b.do("POST", "/v1/jobs", body, headers...)
	}
	for _, body := range []string{
		"", "{", "null x", `{"type":"math.primes","type":"math.primes"}`,
		`{"type":"math.primes","payload":{"n":1,"n":2}}`,
		"{\"type\":\"\xff\"}", `{"type":"math.primes"} {}`, strings.Repeat(`[`, 70_000),
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
	} {
		post(body).problem(400, httpapi.Invalid)
	}
	post(`{"type":"math.primes","payload":{"n":"`+strings.Repeat("x", 200<<10)+`"}}`).
		problem(413, httpapi.TooLarge)
	post(`{"payload":{}}`).problem(422, httpapi.Invalid, "/type")
	post(`{"type":"math.primes","colour":"SECRET"}`).problem(422, httpapi.Invalid, "/colour")
	post(`{"type":7,"priority":"SECRET","max_attempts":0}`).problem(422, httpapi.Invalid)
	post(`{"type":"math.primes","timeout":true}`).problem(422, httpapi.Invalid, "/timeout")
	post(`{"type":"math.primes","timeout":"SECRET"}`).problem(422, httpapi.Invalid)
	post(`{"type":"math.primes","max_attempts":1e300}`).problem(422, httpapi.Invalid)
	post(`{"type":"math.primes","run_at":"SECRET"}`).problem(422, httpapi.Invalid)
	post(`[]`).problem(422, httpapi.Invalid)
	post(`null`).problem(422, httpapi.Invalid)
	post(`{"type":"no.such"}`).problem(422, httpapi.Invalid, "/type")
	post(`{"type":"math.primes","payload":{"n":"SECRET"}}`).problem(422, httpapi.Invalid, "/payload/n")
	post(`{"type":"log.analyze"}`).problem(422, httpapi.Invalid, "/input")
	post(`{}`, "Content-Encoding", "gzip").problem(415, httpapi.Unsupported)
	post(`{}`, "Content-Type", "application/xml").problem(415, httpapi.Unsupported)
	post(`{}`, "Content-Type", "multipart/form-data; boundary=x").problem(415, httpapi.Unsupported)
	good := `{"type":"math.primes","payload":{"n":1}}`
	post(good, "Longshore-Job", "SECRET").problem(422, httpapi.Invalid, "/headers/Longshore-Job")
	post(good, "Longshore-Job", string(job.NewID(time.Now().Add(-2*time.Hour)))).problem(422, httpapi.Invalid,
		"/headers/Longshore-Job")
	post(good, "Longshore-Job", string(job.NewID(time.Now().Add(10*time.Minute)))).
		problem(422, httpapi.Invalid, "/headers/Longshore-Job")
	post(good, "Idempotency-Key", strings.Repeat("k", 256)).problem(422, httpapi.Invalid,
		"/headers/Idempotency-Key")
	post(good, "Idempotency-Key", "kéy").problem(422, httpapi.Invalid, "/headers/Idempotency-Key")
	b.do("POST", "/v1/jobs?prioritty=high", good).problem(422, httpapi.Invalid, "?prioritty")
	if len(b.reqs) != 0 {
		t.Errorf("%d of them were submitted", len(b.reqs))
	}
}

// No refusal repeats what was sent.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range [][3]string{
		{"POST", "/v1/jobs", `{"type":"SECRET"}`},
		{"POST", "/v1/jobs", `{"type":"math.primes","timeout":"SECRET"}`},
		{"POST", "/v1/jobs", `{"type":"math.primes","max_attempts":77777777777777777777777}`},
		{"POST", "/v1/jobs", `{"type":"math.primes","run_at":"SECRET","priority":"SECRET"}`},
		{"POST", "/v1/jobs", `{"SECRET`},
		{"POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":"SECRET"}}`},
		{"POST", "/v1/jobs/SECRET", "SECRET"},
		{"POST",
			"/v1/jobs/log.analyze?top=SECRET&timeout=SECRET&run_at=SECRET&max_attempts=SECRET&wait=SECRET&priority=SECRET", "x"},
		{"POST", "/v1/jobs/math.primes", `{"n":"SECRET"}`}, {"GET", "/v1/jobs/SECRET", ""},
		{"GET", "/v1/jobs/SECRET/result", ""}, {"GET", "/v1/jobs?id=SECRET.1", ""},
		{"GET", "/v1/jobs?cursor=SECRET&state=SECRET&limit=SECRET", ""}, {"GET", "/SECRET", ""},
	} {
		r := b.do(c[0], c[1], c[2])
		if r.status < 400 || strings.Contains(r.body, "SECRET") || strings.Contains(r.body, "7777") {
			t.Errorf("%v: %d %s", c, r.status, r.body)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := `{"type":"math.primes","payload":{"n":1}}`
	first := b.do("POST", "/v1/jobs", good, "Idempotency-Key", "k 1")
	again := b.do("POST", "/v1/jobs", good, "Idempotency-Key", "k 1")
	if first.status != 202 || again.status != 202 || first.snapshot().ID != again.snapshot().ID {
		t.Errorf("got %d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	snap := first.snapshot()
	snap.State, snap.Rev = job.Succeeded, 3
	b.put(snap)
	if r := b.do("POST", "/v1/jobs", good, "Idempotency-Key", "k 1"); r.status != 200 || !r.snapshot().Done {
		t.Errorf("after the end: %d %s", r.status, r.body)
	}
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWait = time.Second })
	good := `{"type":"math.primes","payload":{"n":1}}`
	r := b.do("POST", "/v1/jobs", good, "Prefer", "respond-async, wait=20")
	if r.status != 202 || r.header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("not ended: %d, applied %q", r.status, r.header.Get("Preference-Applied"))
	}
	if r := b.do("POST", "/v1/jobs/math.primes?n=1&wait=1ms", ""); r.status != 202 ||
		r.header.Get("Longshore-Wait") != "1ms" {
		t.Errorf("wait in the query: %d %v", r.status, r.header)
	}
	b.onEnd = true
	r = b.do("POST", "/v1/jobs", good, "Prefer", "wait=20")
	if r.status != 200 || !r.snapshot().Done || r.header.Get("Preference-Applied") == "" {
		t.Errorf("ended: %d %s", r.status, r.body)
	}
	b.onEnd = false
	id := job.NewID(time.Now())
	replies := make(chan reply, 1)
	go func() {
		replies <- b.do("POST", "/v1/jobs/log.analyze", "the log", "Longshore-Job", string(id), "Prefer",
			"wait=1")
	}()
	for ended := false; !ended; {
		select {
		case r := <-replies:
			ended = true
			if r.status != 200 || r.snapshot().State != job.Succeeded {
				t.Errorf("while it waits: %d %s", r.status, r.body)
			}
		default: // the job ends as soon as it is there
			if snap, err := b.Get(t.Context(), access.Everything, id); err == nil && !snap.Done {
				snap.State, snap.Rev = job.Succeeded, snap.Rev+1
				b.put(snap)
			}
		}
	}
}

func TestSubmitRaw(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := strings.Repeat("a line\n", 100_000)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json"} {
		r := b.do("POST",
			"/v1/jobs/log.analyze?top=5&priority=low&timeout=90&retention=2h&max_attempts=2&filename=access.log", log, "Content-Type", kind)
		got := b.lastRequest()
		if r.status != 202 || b.input(r.snapshot().ID) != log || got.ContentType != kind ||
			got.InputSize != int64(len(log)) {
			t.Errorf("%q: %d %s; input of %d bytes", kind, r.status, r.body, len(b.input(r.snapshot().ID)))
		}
		if string(got.Payload) != `{"top":5}` || got.Priority != job.Low || got.Timeout != 90*time.Second ||
			got.Retention != 2*time.Hour ||
			got.MaxAttempts != 2 || got.Filename != "access.log" {
			t.Errorf("request %+v", got)
		}
	}
	// Chunked, the payload as JSON.
	r := b.send("POST", "/v1/jobs/log.analyze?payload=%7B%22top%22:3%7D",
		io.MultiReader(strings.NewReader("x"), strings.NewReader("y")))
	if got := b.lastRequest(); r.status != 202 || b.input(r.snapshot().ID) != "xy" || got.InputSize != -1 ||
		string(got.Payload) != `{"top":3}` {
		t.Errorf("chunked: %d %s %+v", r.status, r.body, got)
	}
	// An empty body is an empty file.
	if r := b.do("POST", "/v1/jobs/log.analyze", ""); r.status != 202 || b.lastRequest().Input == nil {
		t.Errorf("empty: %d %s", r.status, r.body)
	}
}

// A type without a file takes its payload from the query or the body.
func TestSubmitRawWithoutInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range [][2]string{
		{"/v1/jobs/math.primes?n=100", ""}, {"/v1/jobs/math.primes", `{"n":100}`},
		{"/v1/jobs/math.primes?payload=%7B%22n%22:100%7D", ""},
	} {
		r := b.do("POST", c[0], c[1])
		if got := b.lastRequest(); r.status != 202 || got.Input != nil || string(got.Payload) != `{"n":100}` {
			t.Errorf("%v: %d %s", c, r.status, r.body)
		}
	}
	b.do("POST", "/v1/jobs/math.primes?n=1", `{"n":100}`).problem(422, httpapi.Invalid, "?n")
	b.do("POST", "/v1/jobs/math.primes?payload=%7B%7D", `{"n":100}`).problem(422, httpapi.Invalid, "?payload")
	b.do("POST", "/v1/jobs/math.primes", "some file").problem(400, httpapi.Invalid)
	b.do("POST", "/v1/jobs/math.primes", strings.Repeat("x", 200<<10)).problem(413, httpapi.TooLarge)
	b.do("POST", "/v1/jobs/math.primes", `{}`, "Content-Encoding", "gzip").problem(415, httpapi.Unsupported)
}

func TestSubmitRawRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxUpload = 10 })
	for query, pointer := range map[string]string{
		"top=x": "?top", "tip=3": "?tip", "top=0": "?top", "timeout=soon": "?timeout",
		"timeout=1s&timeout=2s": "?timeout", "run_at=today": "?run_at", "max_attempts=0": "?max_attempts",
		"wait=x": "?wait", "priority=urgent": "?priority", "payload=%7B%7D&top=3": "?top",
		"payload=%7B%22top%22:0%7D": "?top", "type=x": "?type",
	} {
		b.do("POST", "/v1/jobs/log.analyze?"+query, "x").problem(422, httpapi.Invalid, pointer)
	}
	b.do("POST", "/v1/jobs/log.analyze?payload=%7B", "x").problem(400, httpapi.Invalid)
	b.do("POST", "/v1/jobs/no.such", "x").problem(422, httpapi.Invalid, "/type")
	b.do("POST", "/v1/jobs/log.analyze", "12345678901").problem(413, httpapi.TooLarge)
	b.send("POST", "/v1/jobs/log.analyze", io.MultiReader(strings.NewReader("12345678901"))).
		problem(413, httpapi.TooLarge)
	if r := b.do("POST", "/v1/jobs/log.analyze", "1234567890"); r.status != 202 {
		t.Errorf("just within the limit: %d %s", r.status, r.body)
	}
}

type part struct{ name, file, data string }

func form(parts ...part) (body, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		d := fmt.Sprintf(`form-data; name="%s"`, p.name)
		if p.file != "" {
			d += fmt.Sprintf(`; filename="%s"`, p.file)
			h.Set("Content-Type", "text/x-log")
		}
		h.Set("Content-Disposition", d)
		out, _ := w.CreatePart(h)
		io.WriteString(out, p.data)
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

func TestSubmitForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	data := strings.Repeat("\r\n--x a line", 50_000)
	body, kind := form(part{"top", "", "5"}, part{"priority", "", "high"},
		part{"file", "../../etc/access.log", data})
	r := b.do("POST", "/v1/jobs/log.analyze?retention=2h", body, "Content-Type", kind)
	got := b.lastRequest()
	if r.status != 202 || b.input(r.snapshot().ID) != data || got.Filename != "access.log" ||
		got.ContentType != "text/x-log" || got.InputSize != -1 ||
		string(got.Payload) != `{"top":5}` || got.Priority != job.High || got.Retention != 2*time.Hour {
		t.Errorf("%d %s %+v", r.status, r.body, got)
	}
	body, kind = form(part{"n", "", "7"})
	if r := b.do("POST", "/v1/jobs/math.primes", body, "Content-Type", kind); r.status != 202 ||
		string(b.lastRequest().Payload) != `{"n":7}` {
		t.Errorf("without file: %d %s", r.status, r.body)
	}
	post := func(parts ...part) reply {
		t.Helper()
		body, kind := form(parts...)
		return b.do("POST", "/v1/jobs/log.analyze", body, "Content-Type", kind)
	}
	n := len(b.reqs)
	post(part{"file", "a", "x"}, part{"file", "b", "y"}).problem(422, httpapi.Invalid, "/body")
	post(part{"file", "a", "x"}, part{"top", "", "5"}).problem(422, httpapi.Invalid, "/body")
	post(part{"top", "", "5"}).problem(422, httpapi.Invalid, "/input")
	post(part{"tip", "", "5"}, part{"file", "a", "x"}).problem(422, httpapi.Invalid, "?tip")
	post(part{"payload", "", strings.Repeat("x", 200<<10)}, part{"file", "a", "x"}).
		problem(413, httpapi.TooLarge)
	b.do("POST", "/v1/jobs/log.analyze", "no form", "Content-Type", kind).problem(400, httpapi.Invalid)
	b.do("POST", "/v1/jobs/log.analyze", "no form", "Content-Type", "multipart/form-data").
		problem(400, httpapi.Invalid)
	b.do("POST", "/v1/jobs/log.analyze", body[:len(body)-10], "Content-Type", kind).
		problem(400, httpapi.Invalid)
	if len(b.reqs) != n {
		t.Errorf("%d of them were submitted", len(b.reqs)-n)
	}
}

// dial sends text over a connection of its own and returns it.
func (b *bench) dial(text string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		b.Fatal(err)
	}
	return conn
}

func (b *bench) answer(conn net.Conn) reply {
	b.Helper()
	conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text), b.TB}
}

func TestBodyStalls(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 200 * time.Millisecond })
	for _, path := range []string{"/v1/jobs/log.analyze", "/v1/jobs"} {
		conn := b.dial("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		b.answer(conn).problem(408, httpapi.Invalid)
	}
	conn := b.dial(
		"POST /v1/jobs/log.analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\n--x\r\n")
	b.answer(conn).problem(408, httpapi.Invalid)
}

// A body that nobody reads holds up neither its answer nor the connection.
func TestUnreadBodyStalls(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 200 * time.Millisecond })
	conn := b.dial("POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	b.answer(conn).problem(404, httpapi.NotFound)
}

func TestBodyCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/v1/jobs/log.analyze", "/v1/jobs"} {
		conn := b.dial("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		conn.(*net.TCPConn).CloseWrite()
		b.answer(conn).problem(400, httpapi.Invalid)
	}
	if len(b.reqs) != 0 {
		t.Error("a cut body was submitted")
	}
}

// The deadline for the body does not end the wait that follows it.
func TestWaitOutlivesBodyDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 50 * time.Millisecond; c.MaxWait = 400 * time.Millisecond })
	begun := time.Now()
	r := b.do("POST", "/v1/jobs/log.analyze?wait=1s", strings.Repeat("x", 100_000))
	if took := time.Since(begun); r.status != 202 || took < 300*time.Millisecond {
		t.Errorf("%d after %v", r.status, took)
	}
	r = b.send("POST", "/v1/jobs/log.analyze?wait=1s", io.MultiReader(strings.NewReader("chunked")))
	if r.status != 202 {
		t.Errorf("chunked: %d %s", r.status, r.body)
	}
}

// A client that sends its body to the end before it reads, and wants the
// connection closed, gets its refusal and not a reset.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxUpload = 1000 })
	for _, path := range []string{"/v1/jobs/log.analyze", "/v1/jobs"} {
		conn := b.dial("POST " + path +
			" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 8388608\r\n\r\n")
		if _, err := conn.Write(make([]byte, 8<<20)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		b.answer(conn).problem(413, httpapi.TooLarge)
	}
}

// Whole numbers count in whatever form, and what is none is told in the words of JSON.
func TestWholeNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, text := range []string{"10", "1e1", "10.0", "1.0E+1"} {
		if r := b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":`+text+`},"max_attempts":`+
			text+`}`); r.status != 202 {
			t.Fatalf("%s: %d %s", text, r.status, r.body)
		}
		if got := b.reqs[i].MaxAttempts; got != 10 {
			t.Errorf("%s: %d", text, got)
		}
	}
	for _, text := range []string{"1.5", "0", "-1", "1e99", "101", `"3"`, "true", "[]"} {
		r := b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":10},"max_attempts":`+text+`}`)
		r.problem(422, httpapi.Invalid, "/max_attempts")
		if strings.Contains(r.body, "json:") || strings.Contains(r.body, "Go ") {
			t.Errorf("%s: words of Go: %s", text, r.body)
		}
		r = b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":`+text+`}}`)
		if text != "0" && text != "101" && text != "-1" && text != "1e99" {
			r.problem(422, httpapi.Invalid, "/payload/n")
		}
	}
}
