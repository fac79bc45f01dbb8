//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TestCancelWhileUploading cancels jobs whose bytes are on the way, through
// another web process. Whoever uploads is told at once, even if he has stopped
// sending, and nothing of the file stays.
func TestCancelWhileUploading(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	_, other := in.web(t)
	c := clientOf(t, other)
	const some = 300_000
	bytes := strings.Repeat("x", some)
	post := func(id job.ID, framing, body string) string {
		return fmt.Sprintf(
			"POST /v1/jobs/file.checksum HTTP/1.1\r\nHost: localhost\r\nLongshore-Job: %s\r\n%s\r\n\r\n%s",
			id, framing, body)
	}
	uploads := map[string]struct {
		begin  func(id job.ID) string
		status int
	}{
		"one request": {func(id job.ID) string { return post(id, "Content-Length: 100000000", bytes) }, 409},
		"short": {func(id job.ID) string {
			return post(id, fmt.Sprint("Content-Length: ", some+1000), bytes)
		}, 409},
		"chunked": {func(id job.ID) string {
			return post(id, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n7fffffff\r\n", some,
				bytes))
		}, 409},
		"form": {func(id job.ID) string {
			return post(id, "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000000",
				"--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n"+bytes)
		}, 409},
		"in pieces": {func(id job.ID) string {
			if r, err := createUpload(url, id, 100e6, "type", "file.checksum"); err != nil ||
				r.StatusCode != http.StatusCreated {
				t.Fatal(r, err)
			}
			return fmt.Sprintf(
				"PATCH %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\nContent-Length: 100000000\r\n\r\n%s",
				httpapi.UploadPath(id), chunkType, bytes)
		}, 410},
	}
	for name, u := range uploads {
		for _, slow := range []bool{true, false} { // or still
			id := job.NewID(time.Now())
			conn := dial(t, url)
			io.WriteString(conn, u.begin(id))
			if slow {
				go trickle(conn)
			}
			known(t, url, id)
			poll(t, c, id, "has received something", func(snap job.Snapshot) bool {
				return snap.State == job.Uploading && snap.Progress != nil && snap.Progress.BytesDone > 0
			})
			asked := time.Now()
			if snap, err := c.Cancel(t.Context(), id); err != nil || snap.State != job.Canceled ||
				snap.Attempt != 0 {
				t.Fatalf("%s: cancel: %+v, %v", name, snap, err)
			}
			conn.SetReadDeadline(time.Now().Add(60 * time.Second))
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s, slow %t: no answer: %v", name, slow, err)
			}
			took := time.Since(asked)
			var said httpapi.Error
			if err := json.NewDecoder(r.Body).Decode(&said); err != nil || r.StatusCode != u.status ||
				!strings.Contains(said.Detail, "job") ||
				u.status == 409 && (said.Code != httpapi.Conflict || said.Detail != "the job was canceled") {
				t.Errorf("%s, slow %t: answer %s: %+v, %v", name, slow, r.Status, said, err)
			}
			t.Logf("%s, slow %t: told after %v", name, slow, took)
			if took > 15*time.Second {
				t.Errorf("%s, slow %t: told after %v", name, slow, took)
			}
			conn.Close()
			if snap := wait(t, c, id); snap.State != job.Canceled {
				t.Errorf("%s: job ended as %+v", name, snap)
			}
			if left := in.files(t); len(left) > 0 {
				t.Errorf("%s, slow %t: files left: %v", name, slow, left)
			}
		}
	}
}

// trickle sends a byte now and then until the connection ends.
func trickle(conn net.Conn) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(conn, "y"); err != nil {
			return
		}
	}
}
