//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/blob/bucket"
	"longshore/internal/blob/bucket/buckettest"
	"longshore/internal/httpapi"
	"longshore/job"
)

// installInBucket is install with the files of jobs in a bucket, below "shore".
func installInBucket(t *testing.T, env ...string) (*installation, *buckettest.Server) {
	t.Helper()
	server := buckettest.Start(t)
	return install(t, slices.Concat([]string{"BLOB_URL=" + server.URL("shore")}, buckettest.Env(),
		env)...), server
}

// stored returns the names of the blobs, and how many parts of uploads there are.
func stored(t *testing.T, server *buckettest.Server) (names []string, parts int) {
	t.Helper()
	objects, unfinished := server.Files(t, "shore")
	for _, name := range objects {
		if name != "store-id" && !strings.HasSuffix(name, "installation/life") {
			names = append(names, name)
		}
	}
	return names, len(unfinished)
}

// TestBucket follows files through an installation that keeps them in a bucket:
// in, through both lanes, out whole and by ranges, and away.
func TestBucket(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t, "RETENTION=1h")
	_, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)

	noise := make([]byte, 12<<20+345)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise) // never fails
	sum := sha256.Sum256(noise)
	snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"}, bytes.NewReader(noise),
		int64(len(noise)))
	if err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); snap.State != job.Succeeded || len(snap.Outputs) != 1 {
		t.Fatalf("job ended as %+v", snap)
	}
	whole := request(t, "GET", url+httpapi.ResultPath(snap.ID), nil)
	digest := sha256.Sum256(whole.body)
	if whole.StatusCode != http.StatusOK || hex.EncodeToString(digest[:]) != snap.Outputs[0].SHA256 ||
		whole.Header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(whole.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("result: %s, %d bytes, %v", whole.Status, len(whole.body), whole.Header)
	}
	for _, span := range []string{"0-99", "6000000-7000000", "12000000-"} {
		part := request(t, "GET", url+httpapi.ResultPath(snap.ID), nil, "Range: bytes="+span)
		from, to := 0, len(whole.body)
		switch span {
		case "0-99":
			to = 100
		case "6000000-7000000":
			from, to = 6_000_000, 7_000_001
		default:
			from = 12_000_000
		}
		if part.StatusCode != http.StatusPartialContent || !bytes.Equal(part.body, whole.body[from:to]) {
			t.Errorf("range %s: %s, %d bytes", span, part.Status, len(part.body))
		}
	}
	sums, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.checksum"}, bytes.NewReader(noise), -1)
	if err != nil {
		t.Fatal(err)
	}
	if sums = wait(t, c, sums.ID); !strings.Contains(string(sums.Result), hex.EncodeToString(sum[:])) {
		t.Errorf("checksum ended as %+v", sums)
	}
	picture, err := c.SubmitFile(t.Context(), client.Submission{Type: "image.resize",
		Payload: map[string]any{"width": 8, "height": 8, "format": "png"}}, bytes.NewReader(pngOf(t, 64, 64)), -1)
	if err != nil {
		t.Fatal(err)
	}
	if picture = wait(t, c, picture.ID); picture.State != job.Succeeded || len(picture.Outputs) != 1 {
		t.Errorf("picture ended as %+v", picture)
	}
	if names, parts := stored(t, server); len(names) != 5 || parts != 0 {
		t.Errorf("stored: %v and %d parts", names, parts)
	}
	if err := c.Delete(t.Context(), snap.ID); err != nil {
		t.Fatal(err)
	}
	if names, _ := stored(t, server); len(names) != 3 ||
		strings.Contains(strings.Join(names, " "), string(snap.ID)) {
		t.Errorf("stored after a deletion: %v", names)
	}
	if told := worker.said(buckettest.SecretKey); len(told) > 0 {
		t.Errorf("the log tells the secret: %v", told)
	}

	short, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress", Retention: time.Second},
		strings.NewReader("soon gone"), -1)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c, short.ID)
	eventually(t, "retention removes the objects", func() bool {
		names, _ := stored(t, server)
		return !strings.Contains(strings.Join(names, " "), string(short.ID))
	})
}

// TestBucketUploadKilled kills the web process in the middle of an upload:
// nothing is visible, and what lies in the bucket is swept.
func TestBucketUploadKilled(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t, "LEASE=4s")
	doomed, first := in.web(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	id := job.NewID(time.Now())
	conn := dial(t, first)
	io.WriteString(conn, "POST /v1/jobs/file.checksum HTTP/1.1\r\nHost: localhost\r\nLongshore-Job: "+
		string(id)+"\r\nContent-Length: 100000000\r\n\r\n")
	go conn.Write(make([]byte, 14<<20)) // ends with the process, if not before
	eventually(t, "parts arrive", func() bool { _, parts := stored(t, server); return parts >= 2 })
	doomed.signal(syscall.SIGKILL)
	if snap := wait(t, c, id); snap.State != job.Failed || snap.Error.Code != job.UploadIncomplete {
		t.Errorf("job ended as %+v", snap)
	}
	if names, parts := stored(t, server); len(names) > 0 || parts == 0 {
		t.Errorf("before the sweep: %v and %d parts", names, parts)
	}
	// The processes sweep what is a day old; this is the same sweep, a day later.
	l, err := bucket.ParseURL(server.URL("shore"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.Open(t.Context(), l, buckettest.Access())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("sweep = %d, %v", n, err)
	}
	if names, parts := stored(t, server); len(names) > 0 || parts > 0 {
		t.Errorf("after the sweep: %v and %d parts", names, parts)
	}
}

// TestBucketGone ends the bucket's server: requests are refused for now, a job
// tries again, and all goes on when it is back.
func TestBucketGone(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	done, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"},
		strings.NewReader("content"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if done = wait(t, c, done.ID); done.State != job.Succeeded {
		t.Fatalf("job ended as %+v", done)
	}
	server.Stop()
	request(t, "GET", url+httpapi.ResultPath(done.ID), nil).problem(t, 503, httpapi.Unavailable)
	request(t, "POST", url+httpapi.SubmitPath("file.compress"), strings.NewReader("content")).problem(t, 503,
		httpapi.Unavailable)
	if code, _, stderr := call(t, "", in.env, "worker"); code != 69 ||
		strings.Contains(stderr, buckettest.SecretKey) {
		t.Errorf("a worker started: exit code %d, %s", code, stderr)
	}
	server.Restart(t)
	if got := request(t, "GET", url+httpapi.ResultPath(done.ID), nil); got.StatusCode != http.StatusOK {
		t.Errorf("when it is back: %s", got.Status)
	}
	again, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"},
		strings.NewReader("content"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if again = wait(t, c, again.ID); again.State != job.Succeeded {
		t.Errorf("job ended as %+v", again)
	}
}

// TestBucketRefusesToStart gives wrong URLs, buckets and credentials.
func TestBucketRefusesToStart(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t)
	in.worker(t)
	good := server.URL("shore")
	for name, tt := range map[string]struct {
		env  []string
		says string
	}{
		"no bucket": {[]string{"BLOB_URL=" + strings.Replace(good, "s3://blobs", "s3://nowhere", 1)},
			"no such bucket"},
		"another place": {[]string{"BLOB_URL=" + server.URL("elsewhere")}, "other processes"},
		"wrong secret":  {[]string{"AWS_SECRET_ACCESS_KEY=hunter2"}, "refused"},
		"no secret":     {[]string{"AWS_SECRET_ACCESS_KEY="}, "AWS_SECRET_ACCESS_KEY"},
		"bad endpoint":  {[]string{"BLOB_URL=s3://blobs?endpoint=hunter2"}, "endpoint"},
		"password":      {[]string{"BLOB_URL=s3://me:hunter2@blobs"}, "AWS_ACCESS_KEY_ID"},
	} {
		code, stdout, stderr := call(t, "", slices.Concat(in.env, tt.env), "worker")
		if code != 78 || !strings.Contains(stderr, "BLOB_URL") && !strings.Contains(stderr, "AWS_") ||
			!strings.Contains(stderr, tt.says) ||
			strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// pngOf returns a picture of one colour.
func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
