//go:build linux

package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestCutUpload breaks uploads in the middle: the job ends failed, and nothing
// of its input stays.
func TestCutUpload(t *testing.T) {
	t.Parallel()
	in := install(t, "LEASE=4s")
	doomed, first := in.web(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	head := func(id job.ID, framing string) string {
		return "POST /v1/jobs/file.checksum HTTP/1.1\r\nHost: localhost\r\nLongshore-Job: " + string(id) +
			"\r\n" + framing + "\r\n\r\n"
	}
	failed := func(id job.ID) {
		t.Helper()
		if snap := wait(t, c, id); snap.State != job.Failed || snap.Error.Code != job.UploadIncomplete ||
			snap.Attempt != 0 {
			t.Errorf("job ended as %+v", snap)
		}
		request(t, "POST", url+httpapi.RetryPath(id), nil).problem(t, 409, httpapi.Conflict)
	}
	for name, framing := range map[string]string{
		"length": "Content-Length: 1000000", "chunked": "Transfer-Encoding: chunked",
		"form": "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000",
	} {
		body := strings.Repeat("x", 300_000)
		switch name {
		case "chunked":
			body = "493e0\r\n" + body + "\r\n"
		case "form":
			body = "--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n" + body
		}
		id := job.NewID(time.Now())
		conn := dial(t, url)
		io.WriteString(conn, head(id, framing)+body)
		known(t, url, id)
		conn.Close()
		failed(id)
	}
	eventually(t, "no file is left", func() bool { return len(in.files(t)) == 0 })

	// The web process itself is killed: its lease ends, another one notices.
	id := job.NewID(time.Now())
	conn := dial(t, first)
	io.WriteString(conn, head(id, "Content-Length: 1000000")+strings.Repeat("x", 300_000))
	known(t, url, id)
	poll(t, c, id, "has received something", func(snap job.Snapshot) bool {
		return snap.Progress != nil && snap.Progress.BytesDone > 0
	})
	doomed.signal(syscall.SIGKILL)
	failed(id)
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestTooLargeUpload goes over the limit without saying before how much will
// come: the job ends, and nothing of it stays.
func TestTooLargeUpload(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t, "MAX_UPLOAD=100KiB")
	id := job.NewID(time.Now())
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 200<<10))) // of unknown length
	request(t, "POST", url+httpapi.SubmitPath("file.checksum"), body, "Longshore-Job: "+string(id)).
		problem(t, 413, httpapi.TooLarge)
	if snap := wait(t, clientOf(t, url), id); snap.State != job.Failed ||
		snap.Error.Code != job.UploadIncomplete {
		t.Errorf("job ended as %+v", snap)
	}
	if left := in.files(t); len(left) > 0 {
		t.Errorf("files left: %v", left)
	}
}

func gzipped(t *testing.T, data io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if _, err := io.Copy(z, data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBrokenGzip sends gzip files that were cut or damaged: final failures that
// say where, and nothing is published.
func TestBrokenGzip(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	noise := rand.NewChaCha8([32]byte{1})
	whole := gzipped(t, io.LimitReader(noise, 1<<20))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 1 // in its checksum
	for _, typ := range []string{"file.decompress", "log.analyze"} {
		for name, body := range map[string][]byte{"cut": whole[:len(whole)/2], "damaged": damaged} {
			snap, err := c.SubmitFile(t.Context(), client.Submission{Type: typ}, bytes.NewReader(body),
				int64(len(body)))
			if err != nil {
				t.Fatal(err)
			}
			snap = wait(t, c, snap.ID)
			if snap.State != job.Failed || snap.Error.Code != job.CorruptInput || snap.Attempt != 1 ||
				len(snap.Outputs) > 0 {
				t.Errorf("%s, %s: job ended as %+v", typ, name, snap)
				continue
			}
			at := regexp.MustCompile(`at byte (\d+)`).FindStringSubmatch(snap.Error.Message)
			if at == nil {
				t.Errorf("%s, %s: message without an offset: %q", typ, name, snap.Error.Message)
			} else if n, _ := strconv.Atoi(at[1]); n < len(body)/2 || n > len(body) {
				t.Errorf("%s, %s: says byte %d of %d", typ, name, n, len(body))
			}
			request(t, "GET", url+httpapi.ResultPath(snap.ID), nil).problem(t, 404, httpapi.NotFound)
		}
	}
	eventually(t, "only inputs are left", func() bool {
		for _, name := range in.files(t) {
			if !strings.HasSuffix(name, "/in") {
				return false
			}
		}
		return true
	})
}

// TestGzipBomb sends small files that would become large: stopped by ratio and
// by bytes, while the worker's memory stays flat.
func TestGzipBomb(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, address := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, address)
	bomb := gzipped(t, io.LimitReader(zeros{}, 300<<20))
	t.Logf("%d bytes would become 300 MiB", len(bomb))
	for name, fields := range map[string]url.Values{
		"ratio": nil,
		"bytes": {"max_ratio": {"1000000"}, "max_bytes": {"200000000"}},
	} {
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.decompress", Fields: fields},
			bytes.NewReader(bomb), -1)
		if err != nil {
			t.Fatal(err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Failed || snap.Error.Code != job.OutputLimit ||
			snap.Attempt != 1 {
			t.Errorf("%s: job ended as %+v", name, snap)
		}
	}
	if peak := peakMemory(t, worker); peak > 100<<20 {
		t.Errorf("worker's memory peaked at %d MiB", peak>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// stored is the sizes of all files in the blob store, in bytes.
func (in *installation) stored(t *testing.T) (size int64) {
	t.Helper()
	for _, name := range in.files(t) {
		if info, err := os.Stat(filepath.Join(in.blobs, name)); err == nil { // else it is gone
			size += info.Size()
		}
	}
	return size
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// peakMemory is the most memory that a process ever had resident, in bytes.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// TestNoSpace fills the blob store's disk, by an input and by an output.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=12m"); err != nil {
		t.Skip("can't mount a small file system: ", err)
	}
	// Registered first, so it runs after the processes have ended.
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	in := install(t, "BLOB_URL=file://"+folder)
	in.blobs = folder
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)

	id := job.NewID(time.Now())
	body := io.LimitReader(zeros{}, 20<<20)
	request(t, "POST", url+httpapi.SubmitPath("file.checksum"), body, "Longshore-Job: "+string(id)).
		problem(t, 507, httpapi.Unavailable)
	if snap := wait(t, c, id); snap.State != job.Failed || snap.Error.Code != job.StorageError {
		t.Errorf("job ended as %+v", snap)
	}
	if left := in.files(t); len(left) > 0 {
		t.Errorf("files left: %v", left)
	}

	// In pieces: an upload that can't fit in is not begun.
	if r, err := createUpload(url, job.NewID(time.Now()), 20<<20, "type", "file.checksum"); err != nil ||
		r.StatusCode != 507 {
		t.Fatalf("creation of more than the disk holds: %v, %v", r, err)
	}
	// One that others leave no room for is told what fitted in, and stays for when there is room.
	id = job.NewID(time.Now())
	if r, err := createUpload(url, id, 11<<20, "type", "file.checksum"); err != nil || r.StatusCode != 201 {
		t.Fatal(r, err)
	}
	others := filepath.Join(folder, "others")
	halfway := readerFunc(func([]byte) (int, error) {
		eventually(t, "some of it is stored", func() bool { return in.stored(t) > 1<<20 })
		if err := os.WriteFile(others, make([]byte, 8<<20), 0o600); err != nil {
			t.Error(err)
		}
		return 0, io.EOF
	})
	r, err := tusRequest(url, "PATCH", httpapi.UploadPath(id), []string{"Upload-Offset: 0"},
		io.MultiReader(io.LimitReader(zeros{}, 3<<20), halfway, zeros{}), 11<<20, 11<<20, nil)
	if err != nil || r.StatusCode != 507 {
		t.Fatalf("PATCH without space: %v, %v", r, err)
	}
	told, _ := offsetOf(r)
	if r, err := tusRequest(url, "HEAD", httpapi.UploadPath(id), nil, nil, 0, 0, nil); err != nil {
		t.Error(err)
	} else if now, _ := offsetOf(r); now != told || told == 0 {
		t.Errorf("offset %d, and %d in the refusal", now, told)
	}
	if r, err := tusRequest(url, "DELETE", httpapi.UploadPath(id), nil, nil, 0, 0, nil); err != nil ||
		r.StatusCode != 204 {
		t.Fatal(r, err)
	}
	if err := os.Remove(others); err != nil {
		t.Fatal(err)
	}

	// 7 MiB of noise fit in, but not a second time as an output.
	noise := io.LimitReader(rand.NewChaCha8([32]byte{2}), 7<<20)
	snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress", MaxAttempts: 1}, noise, -1)
	if err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); snap.State != job.Failed || snap.Error.Code != job.StorageError ||
		!strings.Contains(snap.Error.Message, "no space") {
		t.Errorf("job ended as %+v", snap)
	}
	eventually(t, "only the input is left", func() bool { return len(in.files(t)) == 1 })
	if snap, err = c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"},
		strings.NewReader("small"), -1); err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); snap.State != job.Succeeded {
		t.Errorf("small job ended as %+v", snap)
	}
}
