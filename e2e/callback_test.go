//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/tooltest"
	"longshore/job"
)

const (
	newSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret = "whsec_c2l4dHktZm91ciBieXRlcyBhcmUgdGhlIG1vc3QgdGhhdCBhIHNlY3JldCBtYXkgaGF2ZS4gLg=="
	// signing is what programs need that send callbacks to this machine.
	signing, allowing = "CALLBACK_SECRETS=" + newSecret + "," + oldSecret, "CALLBACK_ALLOW=127.0.0.0/8"
)

// A sink receives callbacks.
type sink struct {
	*httptest.Server
	got chan delivery
}

type delivery struct {
	header http.Header
	body   []byte
}

// newSink answers the n-th callback, from 0, as answer says.
func newSink(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *sink {
	t.Helper()
	s := &sink{got: make(chan delivery, 1000)}
	var mu sync.Mutex
	n := -1
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		n++
		turn := n
		mu.Unlock()
		s.got <- delivery{r.Header.Clone(), body}
		answer(turn, w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func taken(int, http.ResponseWriter, *http.Request) {}

// next returns the next callback.
func (s *sink) next(t *testing.T, patience time.Duration) delivery {
	t.Helper()
	select {
	case d := <-s.got:
		return d
	case <-time.After(patience):
		t.Fatalf("no callback within %v", patience)
		return delivery{}
	}
}

// primes submits a quick job with a callback.
func primes(t *testing.T, c *client.Client, to string) job.ID {
	t.Helper()
	snap, err := c.Submit(t.Context(), client.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 1000}, CallbackURL: to})
	if err != nil {
		t.Fatal(err)
	}
	return snap.ID
}

// awaitCallback asks until the delivery is as wanted.
func awaitCallback(t *testing.T, c *client.Client, id job.ID, ok func(job.Callback) bool) job.Callback {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		cb, err := c.Callback(ctx, id)
		if err != nil {
			t.Fatalf("callback of %s is %+v: %v", id, cb, err)
		}
		if ok(cb) {
			return cb
		}
	}
}

func delivered(cb job.Callback) bool { return cb.State == job.CallbackDelivered }

// TestCallback has jobs that end in different ways: the receiver gets the very
// bytes that GET answers.
func TestCallback(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	web, address := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, address)
	s := newSink(t, taken)
	hook := s.URL + "/hook?token=hunter2"

	succeeded := primes(t, c, hook)
	file, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress", CallbackURL: hook},
		strings.NewReader("longshore"), 9)
	if err != nil {
		t.Fatal(err)
	}
	later, err := c.Submit(t.Context(), client.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 10}, CallbackURL: hook, RunAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if cb, err := c.Callback(t.Context(), later.ID); err != nil ||
		cb.URL != hook || cb.State != job.CallbackWaiting || cb.Attempts != 0 {
		t.Errorf("before the end: %+v, %v", cb, err)
	}
	if _, err := c.Cancel(t.Context(), later.ID); err != nil {
		t.Fatal(err)
	}
	got := map[string]delivery{}
	for range 3 {
		d := s.next(t, 90*time.Second)
		got[d.header.Get("Webhook-Id")] = d
	}
	for _, id := range []job.ID{succeeded, file.ID, later.ID} {
		d := got[string(id)]
		awaitCallback(t, c, id, delivered)
		r := request(t, "GET", address+httpapi.JobPath(id), nil)
		if diff := cmp.Diff(string(r.body), string(d.body)); diff != "" {
			t.Errorf("%s (-GET +callback):\n%s", id, diff)
		}
		if !r.snapshot(t).Done || d.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v", r.body, d.header)
		}
	}
	var refused *client.Error
	if _, err := c.Callback(t.Context(), primes(t, c, "")); !errors.As(err, &refused) ||
		refused.Code != client.NotFound {
		t.Errorf("callback of a job without one: %v", err)
	}
	for _, p := range []*process{web, worker} {
		if log := p.tail(10_000); strings.Contains(log, "whsec_") || strings.Contains(log, "hunter2") {
			t.Errorf("a log tells a secret:\n%s", log)
		}
	}
	verifyInNode(t, c, got[string(succeeded)])
}

// verifyInNode has the library of Standard Webhooks for JavaScript verify a
// callback under both secrets, and refuse it when a byte of it is another. Then
// the receiver of docs/webhooks.md hears of another job.
func verifyInNode(t *testing.T, c *client.Client, d delivery) {
	t.Run("Node", func(t *testing.T) {
		node, npm, folder := tooltest.Path(t, "node"), tooltest.Path(t, "npm"), t.TempDir()
		install := exec.CommandContext(t.Context(), npm, "install", "--silent", "--no-audit", "--no-fund",
			"standardwebhooks@1.0.0")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			tooltest.Missing(t, "the npm package standardwebhooks: "+string(out))
		}
		const script = `
			const { Webhook } = require("standardwebhooks");
			const { secrets, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
			for (const secret of secrets) {
				const hook = new Webhook(secret);
				console.log(hook.verify(body, headers).id);
				try { hook.verify(body + " ", headers); console.log("forged"); } catch { console.log("refused"); }
			}`
		if err := os.WriteFile(filepath.Join(folder, "verify.js"), []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{}
		for name := range d.header {
			headers[strings.ToLower(name)] = d.header.Get(name)
		}
		input, err := json.Marshal(map[string]any{"secrets": []string{newSecret, oldSecret},
			"headers": headers, "body": string(d.body)})
		if err != nil {
			t.Fatal(err)
		}
		verify := exec.CommandContext(t.Context(), node, "verify.js")
		verify.Dir, verify.Stdin = folder, strings.NewReader(string(input))
		out, err := verify.CombinedOutput()
		id := d.header.Get("Webhook-Id")
		if want := strings.Repeat(id+"\nrefused\n", 2); err != nil || string(out) != want {
			t.Errorf("%v: %s, want %s", err, out, want)
		}

		doc, err := os.ReadFile("../docs/webhooks.md")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(doc), "```js\n")
		receiver, _, _ := strings.Cut(after, "```")
		if err := os.WriteFile(filepath.Join(folder, "receiver.mjs"), []byte(receiver), 0o600); err != nil {
			t.Fatal(err)
		}
		port := freePort(t)
		run := exec.Command(node, "receiver.mjs")
		run.Dir = folder
		p := startCommand(t, run, append(os.Environ(), "PORT="+port, "CALLBACK_SECRET="+oldSecret))
		again := primes(t, c, "http://127.0.0.1:"+port+"/") // its first attempt may come before node listens
		p.await(t, string(again)+" succeeded")
		awaitCallback(t, c, again, delivered)
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestCallbackIsTriedAgain has receivers that fail twice, ask for time, are
// gone, or lie where callbacks may not go.
func TestCallbackIsTriedAgain(t *testing.T) {
	t.Parallel()
	in := install(t, signing)
	_, address := in.web(t)
	var elsewhere *sink
	s := newSink(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < 2 {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, "hunter2")
		}
	})
	slow := newSink(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.Header().Set("Retry-After", "4")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	gone := newSink(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	moved := newSink(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusPermanentRedirect)
	})
	elsewhere = newSink(t, taken)
	var allow []string
	for _, a := range []*sink{s, slow, gone, moved} {
		u, _ := url.Parse(a.URL)
		allow = append(allow, u.Host)
	}
	worker := in.worker(t, "CALLBACK_ALLOW="+strings.Join(allow, ","))
	c := clientOf(t, address)

	failing, asking, left, redirected, refused := primes(t, c, s.URL), primes(t, c, slow.URL),
		primes(t, c, gone.URL), primes(t, c, moved.URL), primes(t, c, elsewhere.URL)
	first := slow.next(t, 90*time.Second)
	begun := time.Now()
	if again := slow.next(t, 90*time.Second); time.Since(begun) < 3500*time.Millisecond ||
		again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") {
		t.Errorf("tried again after %v", time.Since(begun))
	}
	awaitCallback(t, c, asking, delivered)
	if cb := awaitCallback(t, c, failing, delivered); cb.Attempts != 3 || cb.LastStatus != 200 ||
		cb.LastError != "" {
		t.Errorf("after two failures: %+v", cb)
	}
	ids := map[string]bool{}
	for range 3 {
		d := s.next(t, 90*time.Second)
		ids[d.header.Get("Webhook-Id")] = true
	}
	if len(ids) != 1 {
		t.Errorf("attempts with ids %v", ids)
	}
	cb := awaitCallback(t, c, left, func(cb job.Callback) bool { return cb.State == job.CallbackFailed })
	if cb.Attempts != 1 || cb.LastStatus != 410 || cb.LastError != "gone" || cb.GaveUpAt == nil {
		t.Errorf("after 410: %+v", cb)
	}
	cb = awaitCallback(t, c, redirected, func(cb job.Callback) bool {
		return cb.Attempts > 0 && cb.NextAttemptAt != nil
	})
	if cb.LastStatus != 308 || cb.LastError != "redirect" {
		t.Errorf("after a redirect: %+v", cb)
	}
	cb = awaitCallback(t, c, refused, func(cb job.Callback) bool { return cb.State == job.CallbackFailed })
	if cb.Attempts != 1 || cb.LastStatus != 0 || cb.LastError != "address_refused" || cb.GaveUpAt == nil {
		t.Errorf("to an address that is not allowed: %+v", cb)
	}
	if len(elsewhere.got) > 0 || len(gone.got) != 1 {
		t.Errorf("%d callbacks where none may go, %d where one was to go", len(elsewhere.got), len(gone.got))
	}
	if strings.Contains(worker.tail(10_000), "hunter2") {
		t.Error("the log tells what a receiver answered")
	}
}

// TestCallbackOutlivesItsWorker kills one worker that ran a job before anything
// was sent, and one while its receiver thinks: another one delivers.
func TestCallbackOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, address := in.web(t, signing)
	c := clientOf(t, address)
	mute := in.worker(t) // has no secret, so what it ends stays due
	s := newSink(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 0 {
			<-r.Context().Done()
		}
	})
	id := primes(t, c, s.URL)
	wait(t, c, id)
	mute.signal(syscall.SIGKILL)
	if cb, err := c.Callback(t.Context(), id); err != nil || cb.State != job.CallbackPending ||
		cb.Attempts != 0 {
		t.Fatalf("after the end: %+v, %v", cb, err)
	}
	victim := in.worker(t, signing, allowing)
	first := s.next(t, 90*time.Second)
	victim.signal(syscall.SIGKILL)
	killed := time.Now()
	in.worker(t, signing, allowing)
	if testing.Short() {
		return // the rest takes the lease of a claim
	}
	second := s.next(t, 90*time.Second)
	t.Logf("delivered %v after the kill", time.Since(killed))
	cb := awaitCallback(t, c, id, delivered)
	if cb.Attempts != 1 || first.header.Get("Webhook-Id") != second.header.Get("Webhook-Id") ||
		string(first.body) != string(second.body) {
		t.Errorf("%+v\n%v %s\n%v %s", cb, first.header, first.body, second.header, second.body)
	}
}

// TestCallbackDrain ends workers while a receiver thinks: an attempt ends
// within the grace, or is given back at once.
func TestCallbackDrain(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	_, address := in.web(t)
	c := clientOf(t, address)
	answer := make(chan struct{})
	s := newSink(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			return
		}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	})
	short := in.worker(t, "SHUTDOWN_GRACE=3s")
	id := primes(t, c, s.URL)
	s.next(t, 90*time.Second)
	stopped := time.Now()
	short.signal(syscall.SIGTERM)
	if code := short.end(t, 30*time.Second); code != 0 || time.Since(stopped) > 25*time.Second {
		t.Errorf("exit %d after %v", code, time.Since(stopped))
	}
	long := in.worker(t)
	s.next(t, 25*time.Second) // not only when the lease has ended
	if cb := awaitCallback(t, c, id, delivered); cb.Attempts != 1 {
		t.Errorf("an attempt that was given back counts: %+v", cb)
	}
	id = primes(t, c, s.URL)
	s.next(t, 90*time.Second)
	long.signal(syscall.SIGTERM)
	long.await(t, "lets run what runs")
	close(answer)
	if code := long.end(t, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	if cb, err := c.Callback(t.Context(), id); err != nil || cb.State != job.CallbackDelivered {
		t.Errorf("%+v, %v", cb, err)
	}
}

// TestCallbackRefused submits callbacks that can't be, through each way in.
func TestCallbackRefused(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, signs := in.web(t, signing)
	_, mute := in.web(t)
	body := func(to string) io.Reader {
		return strings.NewReader(`{"type":"math.primes","payload":{"n":10},"callback_url":"` + to + `"}`)
	}
	for to, want := range map[string]int{"https://a.example/x": 202, "ftp://a.example/": 422,
		"https://u:hunter2@a.example/": 422, "https://a.example/#x": 422} {
		r := request(t, "POST", signs+"/v1/jobs", body(to), "Content-Type: application/json")
		if want == 202 {
			if r.StatusCode != want {
				t.Errorf("%s: %s %s", to, r.Status, r.body)
			}
			continue
		}
		p := r.problem(t, want, httpapi.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/callback_url" ||
			strings.Contains(string(r.body), "hunter2") {
			t.Errorf("%s: %s", to, r.body)
		}
	}
	p := request(t, "POST", signs+"/v1/jobs/file.checksum?callback_url=x", strings.NewReader("x")).
		problem(t, 422, httpapi.Invalid)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "?callback_url" {
		t.Errorf("in the query: %+v", p)
	}
	p = request(t, "POST", mute+"/v1/jobs", body("https://a.example/x"), "Content-Type: application/json").
		problem(t, 422, httpapi.Invalid)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/callback_url" ||
		!strings.Contains(p.Errors[0].Detail, "CALLBACK_SECRETS") {
		t.Errorf("without a secret: %+v", p)
	}
	keyed := func(to string) reply {
		return request(t, "POST", signs+"/v1/jobs", body(to), "Content-Type: application/json",
			"Idempotency-Key: k")
	}
	first, again := keyed("https://a.example/1").snapshot(t), keyed("https://a.example/1").snapshot(t)
	if first.ID != again.ID {
		t.Errorf("one key, jobs %s and %s", first.ID, again.ID)
	}
	keyed("https://a.example/2").problem(t, 422, httpapi.IdempotencyMismatch)
}

// TestCallbackByCommand submits through the web server and straight to Redis.
func TestCallbackByCommand(t *testing.T) {
	t.Parallel()
	in := install(t, signing, allowing)
	_, address := in.web(t)
	in.worker(t)
	c, s := clientOf(t, address), newSink(t, taken)
	for _, env := range [][]string{{"LONGSHORE_URL=" + address}, in.env} {
		code, out, msg := call(t, "", env, "enqueue", "submit", "math.primes", "--set", "n=100",
			"--callback-url", s.URL)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, msg)
		}
		if d := s.next(t, 90*time.Second); d.header.Get("Webhook-Id") != strings.TrimSpace(out) {
			t.Errorf("callback of %s, want %s", d.header.Get("Webhook-Id"), out)
		}
		// A retry by hand tells the same receiver.
		id := job.ID(strings.TrimSpace(out))
		again, err := c.Retry(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := s.next(t, 90*time.Second); d.header.Get("Webhook-Id") != string(again.ID) {
			t.Errorf("callback of %s, want that of the retry %s", d.header.Get("Webhook-Id"), again.ID)
		}
	}
}
