package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"longshore/internal/httpapi"
	"longshore/job"
)

func TestOutput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := newSnapshot(job.Succeeded, 3)
	data := strings.Repeat("0123456789", 20_000)
	b.output(&snap, "über/../x.gz", "application/gzip", data)
	b.output(&snap, "page.html", "text/html; charset=utf-8", "<script>")
	b.output(&snap, "a.txt", "text/plain; charset=utf-8", "hi")
	b.put(snap)
	path := httpapi.OutputPath(snap.ID, "über/../x.gz")
	if got := b.do("GET", "/v1/jobs/"+string(snap.ID), "").snapshot().Outputs[0].Href; got != path {
		t.Errorf("href %s, want %s", got, path)
	}
	sum := sha256.Sum256([]byte(data))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	r := b.do("GET", path, "")
	tag := r.header.Get("ETag")
	for name, want := range map[string]string{
		"Content-Type": "application/gzip", "Content-Digest": digest, "Repr-Digest": digest,
		"X-Content-Type-Options": "nosniff",
		"Content-Disposition":    "attachment; filename*=utf-8''%C3%BCber%2F..%2Fx.gz",
		"Accept-Ranges":          "bytes", "Content-Length": "200000",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.status != 200 || r.body != data || len(tag) != 66 {
		t.Errorf("got %d, %d bytes, ETag %s", r.status, len(r.body), tag)
	}
	r = b.do("GET", path, "", "Range", "bytes=199990-")
	if r.status != 206 || r.body != "0123456789" || r.header.Get("Content-Digest") != "" ||
		r.header.Get("Repr-Digest") != digest {
		t.Errorf("range: %d %q %v", r.status, r.body, r.header)
	}
	if r := b.do("GET", path, "", "Range", "bytes=0-4", "If-Range", `"other"`); r.status != 200 ||
		len(r.body) != len(data) {
		t.Errorf("If-Range of another: %d", r.status)
	}
	if r := b.do("GET", path, "", "If-None-Match", tag); r.status != 304 || r.body != "" {
		t.Errorf("If-None-Match: %d", r.status)
	}
	if r := b.do("HEAD", path, ""); r.status != 200 || r.body != "" ||
		r.header.Get("Content-Length") != "200000" {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
	r = b.do("GET", path, "", "Range", "bytes=200000-")
	r.problem(416, httpapi.Invalid)
	if r.header.Get("Content-Range") != "bytes */200000" || r.header.Get("Content-Disposition") != "" {
		t.Errorf("416: %v", r.header)
	}
	b.do("GET", path, "", "If-Match", `"other"`).problem(412, httpapi.Conflict)
	if r := b.do("GET", httpapi.OutputPath(snap.ID, "page.html"),
		""); !strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("HTML: %v", r.header)
	}
	if r := b.do("GET", httpapi.OutputPath(snap.ID, "a.txt"),
		""); r.header.Get("Content-Disposition") != `inline; filename=a.txt` || r.body != "hi" {
		t.Errorf("text: %v", r.header)
	}
	b.do("GET", httpapi.OutputPath(snap.ID, "none"), "").problem(404, httpapi.NotFound)
	b.files = map[string][]byte{}
	b.do("GET", path, "").problem(404, httpapi.NotFound)
}

func TestResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, file, failed, running := newSnapshot(job.Succeeded, 3), newSnapshot(job.Succeeded, 3),
		newSnapshot(job.Failed, 3), newSnapshot(job.Running, 2)
	plain.Result = json.RawMessage(`{"count":25}`)
	b.output(&file, "out.txt", "text/plain", "the file")
	for _, s := range []job.Snapshot{plain, file, failed, running} {
		b.put(s)
	}
	if r := b.do("GET", httpapi.ResultPath(plain.ID), ""); r.status != 200 ||
		strings.TrimSpace(r.body) != `{"count":25}` || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("JSON: %d %s", r.status, r.body)
	}
	if r := b.do("GET", httpapi.ResultPath(file.ID), ""); r.status != 200 || r.body != "the file" {
		t.Errorf("file: %d %s", r.status, r.body)
	}
	b.do("GET", httpapi.ResultPath(failed.ID), "").problem(404, httpapi.NotFound)
	b.do("GET", httpapi.ResultPath(running.ID), "").problem(409, httpapi.Conflict)
	b.do("GET", httpapi.OutputPath(running.ID, "x"), "").problem(409, httpapi.Conflict)
	b.do("GET", "/v1/jobs/x/result", "").problem(422, httpapi.Invalid, "/path/id")
}
