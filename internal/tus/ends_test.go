package tus_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

var submitPrimes = submit.Request{Type: "math.primes", Payload: []byte(`{"n":10}`)}

// stalled starts a PATCH that sends some bytes and then no more. It returns when
// they have arrived, and sends the answer, or none.
func (p *process) stalled(id job.ID, data string) <-chan answer {
	p.Helper()
	_, ended := p.begun(id, data)
	return ended
}

// begun is stalled that leaves the connection to its caller, to go on in chunks.
func (p *process) begun(id job.ID, data string) (net.Conn, <-chan answer) {
	p.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"+
		"Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		httpapi.UploadPath(id), len(data), data)
	ended := make(chan answer, 1)
	go func() {
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			ended <- answer{}
			return
		}
		text, _ := io.ReadAll(r.Body)
		ended <- answer{r.StatusCode, r.Header, string(text)}
	}()
	p.eventually("the bytes have arrived", func() bool {
		progress := p.record(id).Snapshot.Progress
		return progress != nil && progress.BytesDone == int64(len(data))
	})
	return conn, ended
}

// TestCancel ends uploads by their job, and jobs by their upload.
func TestCancel(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, b := in.start(t, config{}), in.start(t, config{})
	id, path := a.create(10)
	ended := a.stalled(id, "abc")
	if got := b.do("POST", httpapi.CancelPath(id), nil, "Content-Type", ""); got.status != 200 ||
		!strings.Contains(got.body, `"state":"canceled"`) {
		t.Errorf("cancel: %d %s", got.status, got.body)
	}
	if got := <-ended; got.status != 410 {
		t.Errorf("PATCH under way: %d %s", got.status, got.body)
	}
	for _, got := range []answer{a.do("HEAD", path, nil), b.patch(path, 3, "d"), b.do("DELETE", path, nil)} {
		if got.status != 410 {
			t.Errorf("after cancel: %d %s", got.status, got.body)
		}
	}

	id, path = a.create(10)
	a.patch(path, 0, "abc")
	if got := b.do("DELETE", path, nil); got.status != 204 {
		t.Errorf("DELETE: %d %s", got.status, got.body)
	}
	if state := a.record(id).Snapshot.State; state != job.Canceled {
		t.Errorf("job of a terminated upload is %s", state)
	}
	if n := a.partials(); n != 0 {
		t.Errorf("%d partial blobs left", n)
	}

	id, path = a.create(3)
	a.patch(path, 0, "abc")
	if got := b.do("DELETE", path, nil); got.status != 204 || a.record(id).Snapshot.State != job.Canceled {
		t.Errorf("DELETE of a whole upload: %d, job %s", got.status, a.record(id).Snapshot.State)
	}
}

// TestExpiry lets an upload be silent for too long. Each byte puts the end off.
func TestExpiry(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{expiry: time.Second})
	id, path := p.create(10)
	before := p.record(id).UploadEnd
	p.patch(path, 0, "abc")
	if after := p.record(id).UploadEnd; !after.After(*before) {
		t.Errorf("end %v, before the bytes %v", after, before)
	}
	s := p.sys.Janitor.Sweeper()
	p.eventually("it is over", func() bool {
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		return p.record(id).Snapshot.Done
	})
	snap := p.record(id).Snapshot
	if snap.State != job.Failed || snap.Error.Code != job.UploadIncomplete ||
		!strings.Contains(snap.Error.Message, "byte 3 of 10") {
		t.Errorf("ended as %+v", snap)
	}
	if got := p.do("HEAD", path, nil); got.status != 410 {
		t.Errorf("HEAD: %d", got.status)
	}
	if n := p.partials(); n != 0 {
		t.Errorf("%d partial blobs left", n)
	}
}

// TestOrphans drops what no uploading job names, and only that.
func TestOrphans(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{})
	kept, path := p.create(3)
	canceled, _ := p.create(3)
	if err := p.sys.Store.RequestCancel(t.Context(), canceled); err != nil { // without dropping what is there
		t.Fatal(err)
	}
	pieces := p.sys.Blobs.(blob.Pieces)
	for _, id := range []job.ID{job.NewID(time.Now()), kept} {
		if _, err := pieces.Begin(t.Context(), string(id)+"/in", 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.submitter.SweepPartials(t.Context(), time.Now().Add(-time.Hour)); err != nil ||
		p.partials() != 4 {
		t.Errorf("young ones: %d left, %v", p.partials(), err)
	}
	if err := p.submitter.SweepPartials(t.Context(), time.Now().Add(time.Hour)); err != nil ||
		p.partials() != 1 {
		t.Errorf("%d left, %v", p.partials(), err)
	}
	p.patch(path, 0, "abc")
	p.wantInput(kept, "abc")
}

// TestTakeOver asks for the offset while a request is stalled: that one is
// ended, and what it brought counts.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, b := in.start(t, config{}), in.start(t, config{})
	id, path := a.create(6)
	ended := a.stalled(id, "abc")
	if n := b.offset(path); n != 3 {
		t.Errorf("offset %d", n)
	}
	if got := <-ended; got.status != 409 || got.Get("Upload-Offset") != "3" {
		t.Errorf("stalled PATCH: %d %v", got.status, got.Header)
	}
	b.patch(path, 3, "def")
	b.wantInput(id, "abcdef")
}

// TestLocked finds the lock with a process that was killed, or is paused.
func TestLocked(t *testing.T) {
	t.Parallel()
	in := install(t)
	p := in.start(t, config{lockWait: 200 * time.Millisecond})
	id, path := p.create(3)
	if err := p.sys.Redis.Set(t.Context(), in.prefix+":lock:"+string(id), "another's", time.Minute).
		Err(); err != nil {
		t.Fatal(err)
	}
	if got := p.do("HEAD", path, nil); got.status != 423 || got.Get("Retry-After") == "" {
		t.Errorf("HEAD: %d %v", got.status, got.Header)
	}
	p.sys.Redis.Del(t.Context(), in.prefix+":lock:"+string(id))
	if n := p.offset(path); n != 0 {
		t.Errorf("offset %d", n)
	}
}

// TestStopping asks a process to end while it receives: the client is told how
// far it got, to go on elsewhere.
func TestStopping(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, b := in.start(t, config{}), in.start(t, config{})
	id, path := a.create(6)
	ended := a.stalled(id, "abc")
	a.stop()
	if got := <-ended; got.status != 503 || got.Get("Upload-Offset") != "3" || got.Get("Retry-After") == "" {
		t.Errorf("PATCH: %d %v %s", got.status, got.Header, got.body)
	}
	b.patch(path, 3, "def")
	b.wantInput(id, "abcdef")
}

// TestSlowClient sends nothing for too long: the connection is cut, since
// clients give up at a refusal and go on after a cut.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{idle: time.Second})
	id, path := p.create(6)
	if got := <-p.stalled(id, "abc"); got.status != 0 {
		t.Errorf("PATCH: %d %s", got.status, got.body)
	}
	if n := p.offset(path); n != 3 {
		t.Errorf("offset %d", n)
	}
}

// TestTrickle never pauses, and sends next to nothing: what came is stored, and
// the client is told to go on, which another one does at once.
func TestTrickle(t *testing.T) {
	t.Parallel()
	const size = 100_000
	p := install(t).start(t, config{idle: 3 * time.Second, rate: 1 << 20})
	id, path := p.create(size)
	conn, ended := p.begun(id, "abc")
	sent, begun := 3, time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := io.WriteString(conn, "1\r\nd\r\n"); err == nil {
				sent++
			}
			if time.Since(begun) < 60*time.Second {
				continue
			}
			t.Fatal("a client that sends 100 bytes a second is not cut off")
		case got := <-ended:
			offset, _ := strconv.Atoi(got.Get("Upload-Offset"))
			if got.status != 503 || got.Get("Retry-After") == "" ||
				!strings.Contains(got.body, "too slowly") || offset <= 3 || offset > sent {
				t.Fatalf("%d %v %s after %d bytes", got.status, got.Header, got.body, sent)
			}
			if took := time.Since(begun); took > 40*time.Second {
				t.Errorf("the answer came after %v", took)
			}
			if n := p.offset(path); n != offset {
				t.Errorf("offset %d, told %d", n, offset)
			}
			rest := strings.Repeat("e", size-offset)
			if got := p.patch(path, offset, rest); got.status != 204 {
				t.Errorf("the rest: %d %s", got.status, got.body)
			}
			p.wantInput(id, "abc"+strings.Repeat("d", offset-3)+rest)
			return
		}
	}
}
