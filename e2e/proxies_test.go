//go:build linux

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// soon is what counts as at once on a busy machine. What a proxy would hold
// back comes with the next heartbeat at the earliest, or after 15 s.
const soon = 8 * time.Second

// TestProxies runs every way of push through nginx and haproxy: with what the
// programs do by themselves as far as docs/deploy.md says that it is enough, and
// with the blocks of that document.
func TestProxies(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, direct := in.web(t, "TRUSTED_PROXIES=127.0.0.1", "LONGSHORE_TOKEN="+webToken)
	in.worker(t)
	for name, p := range map[string]struct {
		program, config string
		duplex, full    bool // WebSockets and uploads work; so do all of its tests
	}{
		"nginx by itself":   {"nginx", plainNginx, false, false},
		"haproxy by itself": {"haproxy", plainHaproxy, true, false},
		"nginx":             {"nginx", deployBlock(t, "nginx"), true, true},
		"haproxy":           {"haproxy", deployBlock(t, "haproxy"), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := &throughProxy{proxy: startProxy(t, p.program, p.config, direct), web: web,
				direct: clientOf(t, direct)}
			t.Run("long-poll", front.longPoll)
			t.Run("events", front.events)
			if p.duplex {
				t.Run("socket", front.socket)
				t.Run("upload", func(t *testing.T) { front.upload(t, 64<<20, false) })
				t.Run("upload of unknown length", func(t *testing.T) { front.upload(t, 4<<20, true) })
			}
			if p.full {
				t.Run("client gone", front.clientGone)
				t.Run("client address", front.clientAddress)
				t.Run("bodies", front.bodies)
			}
			t.Run("events resumed", front.resume) // last: it restarts the proxy
			if said := web.said(`"level":"ERROR"`); len(said) > 0 {
				t.Errorf("web logged errors: %v", said[0])
			}
		})
	}
}

// TestUntrustedProxy tells another client's address, which nobody may believe
// where no proxy is trusted.
func TestUntrustedProxy(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, direct := in.web(t, "LONGSHORE_TOKEN="+webToken)
	p := startProxy(t, "nginx", deployBlock(t, "nginx"), direct)
	request(t, "GET", p.url+httpapi.PathTypes, nil, "X-Forwarded-For: 203.0.113.7")
	if line := web.await(t, `"route":"`+httpapi.PathTypes+`"`); !strings.Contains(line,
		`"client":"127.0.0.1"`) {
		t.Errorf("web took the request for another's: %s", line)
	}
}

// Without a token nobody is served through a proxy: as nginx and haproxy ask by
// themselves, and with the blocks of the document.
func TestProxyNeedsToken(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, direct := in.web(t)
	for name, p := range map[string]struct{ program, config string }{
		"nginx by itself": {"nginx", plainNginx},
		"nginx":           {"nginx", deployBlock(t, "nginx")},
		"haproxy":         {"haproxy", deployBlock(t, "haproxy")},
	} {
		r := request(t, "GET", startProxy(t, p.program, p.config, direct).url+httpapi.PathTypes, nil)
		if r.StatusCode != 403 || !strings.Contains(string(r.body), "LONGSHORE_TOKEN") {
			t.Errorf("%s: %s %s", name, r.Status, r.body)
		}
	}
	if r := request(t, "GET", direct+httpapi.PathTypes, nil); r.StatusCode != 200 {
		t.Errorf("this machine's own: %s", r.Status)
	}
}

// A throughProxy has what the tests of one proxy need.
type throughProxy struct {
	*proxy
	web    *process
	direct *client.Client // past the proxy
}

// parked submits a job that does nothing until it is canceled.
func (f *throughProxy) parked(t *testing.T) job.Snapshot {
	t.Helper()
	return submit(t, f.direct, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10},
		RunAt: time.Now().Add(time.Hour)})
}

func (f *throughProxy) cancel(t *testing.T, id job.ID) time.Time {
	t.Helper()
	at := time.Now()
	if _, err := f.direct.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return at
}

func inTime(t *testing.T, what string, since time.Time) {
	t.Helper()
	if took := time.Since(since); took > soon {
		t.Errorf("%s took %v", what, took)
	}
}

// longPoll waits in vain, and then for a change.
func (f *throughProxy) longPoll(t *testing.T) {
	snap := f.parked(t)
	path := fmt.Sprintf("%s%s?after=%d&wait=", f.url, httpapi.JobPath(snap.ID), snap.Rev)
	asked := time.Now()
	if got := request(t, "GET", path+"2s", nil).snapshot(t); got.Rev != snap.Rev ||
		time.Since(asked) < 1500*time.Millisecond {
		t.Errorf("a wait for nothing ended after %v with %+v", time.Since(asked), got)
	}
	answers := make(chan reply, 1)
	go func() {
		r, err := tryRequest(t, "GET", path+"25s", nil)
		if err != nil {
			t.Error(err)
		}
		answers <- r
	}()
	select { // it waits: for longer than an answer that is not held back would take
	case r := <-answers:
		t.Fatalf("the wait ended at once: %s", r.body)
	case <-time.After(time.Second):
	}
	canceled := f.cancel(t, snap.ID)
	if got := (<-answers).snapshot(t); got.State != job.Canceled {
		t.Errorf("the wait ended with %+v", got)
	}
	inTime(t, "the answer to a long-poll", canceled)
}

// stream opens a job's stream of events. next returns the next state, and false
// at the end; err is how it ended.
func (f *throughProxy) stream(t *testing.T, id job.ID,
	after int64) (next func() (job.Snapshot, bool), err func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	resp, failed := getWith(ctx, f.url+httpapi.EventsPath(id), httpapi.HeaderLastEventID, fmt.Sprint(after))
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("stream answered %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return func() (snap job.Snapshot, more bool) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &snap); err != nil {
					t.Errorf("%v: %s", err, data)
				}
				return snap, true
			}
		}
		return snap, false
	}, lines.Err
}

// events follows an upload whose client waits for each event before it sends
// more: nothing may be held back.
func (f *throughProxy) events(t *testing.T) {
	id := job.NewID(time.Now())
	body, trickle := io.Pipe()
	defer trickle.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s := client.Submission{Type: "file.checksum", ID: id}
		if _, err := f.direct.SubmitFile(t.Context(), s, body, -1); err != nil {
			t.Error(err)
		}
	}()
	var sent, rev int64
	var next func() (job.Snapshot, bool)
	for range 4 {
		if _, err := trickle.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		sent += 1000
		at := time.Now()
		if next == nil {
			eventually(t, "the job is known", func() bool {
				_, err := f.direct.Get(t.Context(), id)
				return err == nil
			})
			next, _ = f.stream(t, id, 0)
		}
		for told := int64(-1); told < sent; {
			snap, more := next()
			if !more || snap.State != job.Uploading || snap.Rev <= rev {
				t.Fatalf("after %d bytes, rev %d: %+v, %v", sent, rev, snap, more)
			}
			if rev = snap.Rev; snap.Progress != nil {
				told = snap.Progress.BytesDone
			}
		}
		inTime(t, "an event", at)
	}
	trickle.Close()
	<-answered
	var last job.Snapshot
	for {
		snap, more := next()
		if !more {
			break
		}
		last = snap
	}
	if last.State != job.Succeeded {
		t.Errorf("the last event was %+v", last)
	}
}

// resume restarts the proxy and goes on behind what was known.
func (f *throughProxy) resume(t *testing.T) {
	snap := f.parked(t)
	next, ended := f.stream(t, snap.ID, 0)
	first, more := next()
	if !more || first.Rev != snap.Rev {
		t.Fatalf("the stream begins with %+v, %v", first, more)
	}
	f.restart(t, func() {
		if again, more := next(); more {
			t.Errorf("the stream goes on without a proxy: %+v", again)
		}
		t.Logf("the stream ended: %v", ended())
		f.cancel(t, snap.ID)
	})
	next, ended = f.stream(t, snap.ID, first.Rev)
	last, _ := next()
	if last.State != job.Canceled || last.Rev <= first.Rev {
		t.Errorf("resumed with %+v", last)
	}
	if again, more := next(); more || ended() != nil {
		t.Errorf("after the end: %+v, %v", again, ended())
	}
	r := request(t, "GET", f.url+httpapi.EventsPath(snap.ID), nil,
		fmt.Sprintf("%s: %d", httpapi.HeaderLastEventID, last.Rev))
	if r.StatusCode != http.StatusNoContent {
		t.Errorf("who knows all is answered %s", r.Status)
	}
}

// socket subscribes and is told.
func (f *throughProxy) socket(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	snap := f.parked(t)
	// A page of the proxy's own host may open one: web must know that host.
	conn, _, err := websocket.Dial(ctx, f.url+httpapi.PathSocket,
		&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {f.url},
			"Authorization": {"Bearer " + webToken}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText,
		fmt.Appendf(nil, `{"type":"subscribe","jobs":[{"id":%q}]}`, snap.ID)); err != nil {
		t.Fatal(err)
	}
	var m struct {
		Type string
		Job  job.Snapshot
	}
	read := func() {
		t.Helper()
		_, text, err := conn.Read(ctx)
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if read(); m.Type != "state" || m.Job.Rev != snap.Rev {
		t.Fatalf("got %+v", m)
	}
	canceled := f.cancel(t, snap.ID)
	if read(); m.Job.State != job.Canceled {
		t.Errorf("got %+v", m)
	}
	inTime(t, "a message", canceled)
	if read(); m.Type != "end" {
		t.Errorf("got %+v", m)
	}
}

// upload sends the second half of a file when web has got most of the first: a
// proxy that keeps it to itself would wait for ever.
func (f *throughProxy) upload(t *testing.T, size int64, chunked bool) {
	id := job.NewID(time.Now())
	body, send := io.Pipe()
	defer send.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+httpapi.SubmitPath("file.checksum"), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(httpapi.HeaderJob, string(id))
	if req.ContentLength = size; chunked {
		req.ContentLength = -1
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := plain.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				err = fmt.Errorf("answer %s", resp.Status)
			}
		}
		body.CloseWithError(err)
		answered <- err
	}()
	sum := sha256.New()
	content := io.TeeReader(rand.NewChaCha8([32]byte{1}), sum)
	if _, err := io.CopyN(send, content, size/2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job is known", func() bool {
		_, err := f.direct.Get(t.Context(), id)
		return err == nil
	})
	poll(t, f.direct, id, "has received most of what was sent", func(snap job.Snapshot) bool {
		if snap.State != job.Uploading {
			t.Fatalf("state %s while the input comes", snap.State)
		}
		return snap.Progress != nil && snap.Progress.BytesDone >= size/4
	})
	if _, err := io.CopyN(send, content, size-size/2); err != nil {
		t.Fatal(err)
	}
	send.Close()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	snap := wait(t, f.direct, id)
	if want := hex.EncodeToString(sum.Sum(nil)); snap.State != job.Succeeded ||
		!strings.Contains(string(snap.Result), want) {
		t.Errorf("job ended as %+v, want digest %s", snap, want)
	}
}

// clientGone leaves while it waits.
func (f *throughProxy) clientGone(t *testing.T) {
	snap := f.parked(t)
	for name, path := range map[string]string{
		"/v1/jobs/{id}":        httpapi.JobPath(snap.ID) + "?wait=25s",
		"/v1/jobs/{id}/events": httpapi.EventsPath(snap.ID),
	} {
		gone := func() int {
			n := 0
			for _, line := range f.web.said(`"route":"` + name + `"`) {
				if strings.Contains(line, `"client":"127.0.3.`) {
					n++
				}
			}
			return n
		}
		before := gone()
		conn := f.dialFrom(t, "127.0.3.1")
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", path, authorization)
		if name == "/v1/jobs/{id}/events" { // it has begun
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil ||
				!strings.Contains(line, " 200 ") {
				t.Fatalf("%q, %v", line, err)
			}
		}
		<-time.After(500 * time.Millisecond) // for the long-poll nothing tells that it waits
		if gone() > before {
			t.Errorf("%s: answered before the client left", name)
		}
		conn.Close()
		left := time.Now()
		eventually(t, "web notices", func() bool { return gone() > before })
		inTime(t, "to notice who left "+name, left)
	}
}

// dialFrom connects to the proxy from one of this machine's addresses.
func (f *throughProxy) dialFrom(t *testing.T, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(t.Context(), "tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// clientAddress is the one that the proxy tells, not the one that the client
// claims.
func (f *throughProxy) clientAddress(t *testing.T) {
	from := fmt.Sprintf("127.0.4.%d", 1+rand.IntN(250)) // to be found in the log that the proxies share
	conn := f.dialFrom(t, from)
	fmt.Fprintf(conn,
		"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.7\r\n%s\r\n\r\n", httpapi.PathTypes, authorization)
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	f.web.await(t, `"client":"`+from+`"`)
	if said := f.web.said(`203.0.113.7`); len(said) > 0 {
		t.Errorf("web believes its client: %s", said[0])
	}
}

// TestDeployScaling reads the number that docs/deploy.md tells KEDA to read.
func TestDeployScaling(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	path := regexp.MustCompile(`valueLocation: (\w+)\.(\w+)\n`).FindStringSubmatch(deployBlock(t, "yaml"))
	if path == nil {
		t.Fatal("docs/deploy.md names no number for KEDA")
	}
	if _, err := clientOf(t, url).SubmitFile(t.Context(), client.Submission{Type: "file.checksum"},
		strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a worker is wanted", func() bool {
		var answer map[string]map[string]any
		if err := json.Unmarshal(request(t, "GET", url+httpapi.PathScale, nil).body, &answer); err != nil {
			t.Fatal(err)
		}
		n, ok := answer[path[1]][path[2]].(float64)
		return ok && n > 0
	})
}
