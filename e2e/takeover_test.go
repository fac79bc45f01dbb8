//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A repeated upload is one way in which a client sends a file again whose first
// try it has given up.
type repeatedUpload struct {
	path, kind, name string // name: the header that names the job
	body             []byte
}

var repeated = bytes.Repeat([]byte("a,b\n1,2\n"), 4000)

func repeats(way string) repeatedUpload {
	u := repeatedUpload{path: httpapi.SubmitPath("file.checksum"), kind: "text/csv", body: repeated}
	switch way {
	case "id":
		u.name = httpapi.HeaderJob + ": " + string(job.NewID(time.Now()))
	default:
		u.name = httpapi.HeaderIdempotencyKey + ": upload " + way
	}
	if strings.HasPrefix(way, "form") {
		u.kind = "multipart/form-data; boundary=bound"
		u.body = joined(
			"--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n",
			string(repeated), "\r\n--bound--\r\n")
	}
	return u
}

func joined(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

// half sends the head and half of the body.
func (u repeatedUpload) half(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s",
		u.path, u.kind, u.name, len(u.body), u.body[:len(u.body)/2])
	return conn
}

func (u repeatedUpload) whole(t *testing.T, url string) (job.Snapshot, int) {
	t.Helper()
	r := request(t, "POST", url+u.path, bytes.NewReader(u.body), "Content-Type: "+u.kind, u.name)
	return r.snapshot(t), r.StatusCode
}

// uploading waits until n jobs are.
func uploading(t *testing.T, c *client.Client, n int) {
	t.Helper()
	eventually(t, "the half uploads have begun", func() bool {
		page, err := c.ListPage(t.Context(), client.Filter{State: job.Uploading}, 10, "")
		return err == nil && len(page.Jobs) == n
	})
}

// TestUploadTakenOver sends a file whole while its first try hangs, or still
// comes, or has died with its web process. The repeat becomes the job, by each
// way of naming it, and the first try is told so.
func TestUploadTakenOver(t *testing.T) {
	t.Parallel()
	in := install(t)
	first, firstURL := in.web(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	sum := sha256.Sum256(repeated)
	good := func(what string, id job.ID) {
		t.Helper()
		if snap := wait(t, c, id); snap.State != job.Succeeded ||
			!strings.Contains(string(snap.Result), hex.EncodeToString(sum[:])) {
			t.Errorf("%s: ended as %+v", what, snap)
		}
	}
	ways := []string{"raw", "form", "id"}
	uploads, conns := map[string]repeatedUpload{}, map[string]net.Conn{}
	begin := func(suffix string) {
		for _, way := range ways {
			u := repeats(way + suffix)
			uploads[way], conns[way] = u, u.half(t, firstURL)
		}
		uploading(t, c, len(ways))
	}
	begin("")
	var all sync.WaitGroup
	for _, way := range ways {
		conn, u := conns[way], uploads[way]
		snap, status := u.whole(t, url)
		if status != http.StatusAccepted || snap.State == job.Uploading {
			t.Errorf("%s: the repeat is answered %d %+v", way, status, snap)
		}
		all.Go(func() { // it goes on, and must not come through
			_, _ = conn.Write(u.body[len(u.body)/2:]) // an error is that web has closed it
		})
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: the first try is not answered: %v", way, err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusConflict || !resp.Close || !strings.Contains(string(text), "taken") {
			t.Errorf("%s: the first try is answered %s %s", way, resp.Status, text)
		}
		if again, status := u.whole(t, url); again.ID != snap.ID {
			t.Errorf("%s: a further repeat is answered %d %+v", way, status, again)
		}
		good(way, snap.ID)
	}
	all.Wait()

	begin(" killed")
	first.signal(syscall.SIGKILL)
	for _, way := range ways {
		snap, _ := uploads[way].whole(t, url)
		good(way+", killed", snap.ID)
	}
}

// TestDeadUploadGivesFree repeats a file whose first try was cut, and ended as
// failed: it becomes a job, and our own client's repeats do.
func TestDeadUploadGivesFree(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	for _, way := range []string{"raw", "form", "id", "client"} {
		u := repeats(way)
		conn := u.half(t, url)
		uploading(t, c, 1)
		conn.Close()
		uploading(t, c, 0)
		var snap job.Snapshot
		if way == "client" {
			_, key, _ := strings.Cut(u.name, ": ")
			var err error
			if snap, err = c.SubmitFile(t.Context(), client.Submission{Type: "file.checksum",
				IdempotencyKey: key}, bytes.NewReader(repeated), -1); err != nil {
				t.Fatal(err)
			}
		} else {
			snap, _ = u.whole(t, url)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Succeeded {
			t.Errorf("%s: ended as %+v", way, snap)
		}
		if again, status := u.whole(t, url); status != http.StatusOK || again.ID != snap.ID {
			t.Errorf("%s: a further repeat is answered %d %+v", way, status, again)
		}
	}
}
