package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web"
	"longshore/job"
)

// SubmitBatch takes one draft after the other, as Submit does.
func (s *store) SubmitBatch(ctx context.Context, next func() ([]submit.Draft, error),
	answer func([]httpapi.BatchAnswer) error) error {
	for {
		drafts, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var answers []httpapi.BatchAnswer
		for _, d := range drafts {
			snap, created, err := job.Snapshot{}, false, d.Err
			if err == nil {
				snap, created, err = s.Submit(ctx, d.Request)
			}
			if err != nil {
				answers = append(answers, httpapi.Refusal(d.Line, httpapi.AsError(err)))
				continue
			}
			answers = append(answers, httpapi.BatchAnswer{Line: d.Line, ID: snap.ID, Created: created})
		}
		if err := answer(answers); err != nil {
			return err
		}
	}
}

// batch sends lines and returns the answers.
func (b *bench) batch(body string) []httpapi.BatchAnswer {
	b.Helper()
	r := b.do("POST", httpapi.PathBatch, body, "Content-Type", httpapi.TypeNDJSON)
	if r.status != http.StatusOK || r.header.Get("Content-Type") != httpapi.TypeNDJSON {
		b.Fatalf("%d %s", r.status, r.body)
	}
	var answers []httpapi.BatchAnswer
	for line := range strings.Lines(r.body) {
		var a httpapi.BatchAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			b.Fatalf("%q: %v", line, err)
		}
		fast, err := httpapi.ParseBatchAnswer([]byte(line))
		if err != nil || fmt.Sprint(fast) != fmt.Sprint(a) {
			b.Errorf("%q is read as %v, %v", line, fast, err)
		}
		answers = append(answers, a)
	}
	return answers
}

const goodLine = `{"type":"math.primes","payload":{"n":100}}` + "\n"

func TestBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := `{"type":"math.primes","payload":{"n":1,"x":"` + strings.Repeat("x", httpapi.MaxBatchLine) +
		`"}}` + "\n"
	keyed := `{"type":"math.primes","payload":{"n":7},"idempotency_key":"k"}` + "\n"
	answers := b.batch(goodLine + "\n{\n" + `{"type":"math.primes","payload":{"n":"many"},"prio":1}` + "\n" +
		`{"type":"math.primes","payload":{"n":"many"}}` + "\n" + long + `{"type":"log.analyze"}` + "\n" +
		`{"type":"no.such"}` + "\n" + keyed + strings.TrimSpace(keyed))
	want := []struct {
		line    int64
		code    httpapi.Code
		status  int
		pointer string
		created bool
	}{
		{1, "", 0, "", true}, {3, httpapi.Invalid, 400, "", false}, {4, httpapi.Invalid, 422, "/prio", false},
		{5, httpapi.Invalid, 422, "/payload/n", false}, {6, httpapi.TooLarge, 413, "", false},
		{7, httpapi.Invalid, 422, "/input", false}, {8, httpapi.Invalid, 422, "/type", false},
		{9, "", 0, "", true}, {10, "", 0, "", false},
	}
	if len(answers) != len(want) {
		t.Fatalf("%d answers, want %d: %+v", len(answers), len(want), answers)
	}
	for i, w := range want {
		a := answers[i]
		pointer := ""
		if len(a.Errors) > 0 {
			pointer = a.Errors[0].Pointer
		}
		if a.Line != w.line || a.Code != w.code || a.Status != w.status || pointer != w.pointer ||
			a.Created != w.created || (a.ID == "") != (w.code != "") {
			t.Errorf("answer %+v, want %+v", a, w)
		}
		if strings.Contains(a.Detail, "many") {
			t.Errorf("the answer repeats what was sent: %+v", a)
		}
	}
	if answers[7].ID != answers[8].ID {
		t.Error("one key made two jobs")
	}
	if got := b.batch(""); len(got) != 0 {
		t.Errorf("no line is answered by %v", got)
	}
	b.do("POST", httpapi.PathBatch, goodLine, "Content-Type", "multipart/form-data; boundary=x").
		problem(415, httpapi.Unsupported)
	b.do("POST", httpapi.PathBatch, goodLine, "Content-Encoding", "gzip").problem(415, httpapi.Unsupported)
	b.do("POST", httpapi.PathBatch+"?wait=1s", goodLine).problem(422, httpapi.Invalid, "?wait")
	// an id that is none
	if r := b.do("GET", httpapi.PathBatch, ""); r.status != 422 && r.status != 405 && r.status != 404 {
		t.Errorf("GET: %d", r.status)
	}

	// Out of reach in the middle: each line says so.
	b.mu.Lock()
	b.down = errDown
	b.mu.Unlock()
	answers = b.batch(goodLine + "{}\n")
	if len(answers) != 2 || answers[0].Code != httpapi.Unavailable || answers[0].Status != 503 ||
		answers[1].Code != httpapi.Invalid {
		t.Errorf("without a job store: %+v", answers)
	}
}

func TestBatchNeedsToken(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token = "secret" })
	b.do("POST", httpapi.PathBatch, goodLine).problem(401, httpapi.Unauthorized)
}

// Each line is answered while the request goes on.
func TestBatchFullDuplex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+httpapi.PathBatch, r)
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(w, goodLine)
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for i := range 5 {
		if i > 0 {
			io.WriteString(w, goodLine)
		}
		if !answers.Scan() || !strings.HasPrefix(answers.Text(), fmt.Sprintf(`{"line":%d,"id":"`, i+1)) {
			t.Fatalf("answer %d is %q, %v", i+1, answers.Text(), answers.Err())
		}
	}
	w.Close()
	if answers.Scan() || answers.Err() != nil {
		t.Errorf("more: %q, %v", answers.Text(), answers.Err())
	}
}

// dialBatch opens a connection and begins a batch on it by hand.
func (b *bench) dialBatch(header string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(90 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", httpapi.PathBatch, header)
	return c
}

// A client that reads nothing before it has sent all gets its answers, up to
// the documented number of lines.
func TestBatchReadLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lines = httpapi.MaxBatch
	c := b.dialBatch(fmt.Sprintf("Content-Length: %d", lines*len(goodLine)))
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetReadBuffer(4 << 10)
	}
	if _, err := io.WriteString(c, strings.Repeat(goodLine, lines)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if n := strings.Count(string(text), "\n"); err != nil || n != lines {
		t.Errorf("%d answers, %v", n, err)
	}
}

// A client that goes away in the middle of a line has not sent that line.
func TestBatchDisconnect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dialBatch("Content-Length: 100000")
	io.WriteString(c, goodLine+goodLine[:len(goodLine)-3])
	if _, err := bufio.NewReader(c).ReadString('{'); err != nil { // the first line's answer
		t.Fatal(err)
	}
	c.Close()
	for until := time.Now().Add(10 * time.Second); !strings.Contains(b.log.String(), httpapi.PathBatch); {
		if time.Now().After(until) {
			t.Fatal("the request does not end")
		}
		<-time.After(5 * time.Millisecond)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.jobs) != 1 {
		t.Errorf("%d jobs, want 1", len(b.jobs))
	}
}

// A client that falls silent is told so, in a line of its own.
func TestBatchSilence(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Idle = 200 * time.Millisecond })
	c := b.dialBatch("Content-Length: 100000")
	io.WriteString(c, goodLine+`{"type"`)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if lines := strings.Split(string(text), "\n"); err != nil || len(lines) != 3 ||
		!strings.HasPrefix(lines[1], `{"line":2,"code":"invalid","status":408`) {
		t.Errorf("%q, %v", text, err)
	}
}

// OpenBatch makes a job that stands for a batch.
func (s *store) OpenBatch(ctx context.Context, b submit.Batch) (job.Snapshot, bool,
	[]httpapi.BatchAnswer, error) {
	snap, created, err := s.Submit(ctx, b.Request)
	return snap, created, nil, err
}

func (s *store) CloseBatch(_ context.Context, by access.View, id job.ID, _ string) (job.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen(by, id)
}

func (s *store) BatchJobs(_ context.Context, by access.View, id job.ID, _ string,
	_ int) ([]job.Reading, string,
	error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.seen(by, id)
	return nil, "", err
}
