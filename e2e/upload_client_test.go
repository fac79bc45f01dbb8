//go:build linux

package e2e

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestUploadByClient sends large files by the Go client and by the command line,
// over connections that break and go to another web process each time. One of
// those is killed on the way, another one is told to stop.
func TestUploadByClient(t *testing.T) {
	t.Parallel()
	in := install(t, "LOG_LEVEL=info")
	in.worker(t)
	const size, cuts = 20_000_000, 6
	file, sum := someFile(t, size)
	send := map[string]func(url string) job.ID{
		"client": func(url string) job.ID {
			c, err := client.New(client.Config{URL: url, RetryFor: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			snap, err := c.Upload(t.Context(), client.Submission{Type: "file.checksum"}, f, size)
			if err != nil {
				t.Fatal(err)
			}
			return snap.ID
		},
		"submit": func(url string) job.ID {
			code, out, msg := call(t, "", []string{"LONGSHORE_URL=" + url}, "enqueue", "submit",
				"file.checksum", file, "--set", "algorithms=sha256")
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, msg)
			}
			return job.ID(strings.TrimSpace(out))
		},
		"batch": func(url string) job.ID {
			code, out, msg := call(t, "", []string{"LONGSHORE_URL=" + url}, "enqueue", "batch", "--type",
				"file.checksum", file)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, msg)
			}
			return job.ID(strings.TrimSpace(out))
		},
	}
	for name, send := range send {
		t.Run(name, func(t *testing.T) {
			doomed, first := in.web(t)
			stopped, second := in.web(t)
			third, last := in.web(t)
			strip := func(url string) string { return strings.TrimPrefix(url, "http://") }
			proxy := newCutter(t, cuts, size/cuts, strip(first), strip(second), strip(last))
			go func() {
				for left := int64(cuts); left > 1 && t.Context().Err() == nil; left = proxy.cuts.Load() {
					switch left {
					case cuts - 2:
						doomed.signal(syscall.SIGKILL)
					case cuts - 4:
						stopped.signal(syscall.SIGTERM)
					}
					<-time.After(time.Millisecond)
				}
			}()
			id := send("http://" + proxy.Addr().String())
			if left := proxy.cuts.Load(); left > 1 { // some hit other requests
				t.Errorf("%d cuts left", left)
			}
			checkSum(t, last, id, sum)
			if patches := len(third.said(`"method":"PATCH"`)); patches < 1 {
				t.Errorf("%d PATCHes: it did not go in pieces", patches)
			}
		})
	}
	jobs, inputs := map[job.ID]bool{}, in.files(t)
	_, url := in.web(t)
	for snap, err := range clientOf(t, url).List(t.Context(), client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs[snap.ID] = true
	}
	// swept after an hour
	inputs = slices.DeleteFunc(inputs, func(name string) bool { return strings.HasPrefix(name, "partial/") })
	if len(jobs) != len(send) || len(inputs) != len(send) {
		t.Errorf("%d jobs and files %v of %d uploads", len(jobs), inputs, len(send))
	}
}

// TestUploadGoesOnElsewhere interrupts an upload that has a key: the same call
// by another process sends only the rest.
func TestUploadGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	file, sum := someFile(t, 20_000_000)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := job.NewID(time.Now())
	s := client.Submission{Type: "file.checksum", ID: id}
	// the file ends too early: no repeat would help
	half := content{noise: data[:12_000_000], size: 12_000_000}
	if _, err := clientOf(t, url).Upload(t.Context(), s, half, int64(len(data))); err == nil {
		t.Fatal("half a file was enough")
	}
	r, err := tusRequest(url, "HEAD", httpapi.UploadPath(id), nil, nil, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := offsetOf(r); n < 4_000_000 {
		t.Errorf("offset %d after 12 MB", n)
	}
	snap, err := clientOf(t, url).Upload(t.Context(), s, bytes.NewReader(data), int64(len(data)))
	if err != nil || snap.ID != id {
		t.Fatal(snap, err)
	}
	checkSum(t, url, id, sum)
}
