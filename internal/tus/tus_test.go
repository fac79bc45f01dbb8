package tus_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/submit"
	"longshore/job"
)

// TestPieces sends one file through two processes.
func TestPieces(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, b := in.start(t, config{}), in.start(t, config{})
	meta := metadata("type", "file.checksum", "filename", "../../etc/\u202e\x1bpasswd", "payload",
		`{"algorithms":["md5"]}`, "priority", "low")
	first := a.do("POST", httpapi.PathUploads, strings.NewReader("hello"), "Upload-Length", "11",
		"Upload-Metadata", meta)
	id := job.ID(first.Get("Longshore-Job"))
	if first.status != 201 || first.Get("Upload-Offset") != "5" || first.Get("Upload-Expires") == "" {
		t.Fatalf("%d %v %s", first.status, first.Header, first.body)
	}
	path := first.Get("Location")
	snap := b.record(id).Snapshot
	if p := snap.Progress; snap.State != job.Uploading || snap.Priority != job.Low || p == nil ||
		p.Phase != job.PhaseUpload || p.BytesDone != 5 || p.BytesTotal != 11 {
		t.Errorf("while uploading: %+v, %+v", snap, p)
	}
	head := b.do("HEAD", path, nil)
	if head.status != 200 || head.Get("Upload-Offset") != "5" || head.Get("Upload-Length") != "11" ||
		head.Get("Upload-Metadata") != meta ||
		head.Get("Longshore-Job") != string(id) || head.Get("Cache-Control") != "no-store" {
		t.Errorf("HEAD: %d %v", head.status, head.Header)
	}
	if got := b.patch(path, 5, " world"); got.status != 204 || got.Get("Upload-Offset") != "11" ||
		got.Get("Longshore-Job") != string(id) {
		t.Errorf("PATCH: %d %v %s", got.status, got.Header, got.body)
	}
	a.wantInput(id, "hello world")
	if r := a.record(id); r.Spec.Input.Filename != "../../etc/passwd" ||
		string(r.Spec.Payload) != `{"algorithms":["md5"]}` {
		t.Errorf("spec %+v", r.Spec)
	}
	if n := a.offset(path); n != 11 {
		t.Errorf("offset of a whole upload: %d", n)
	}
	if got := a.patch(path, 11, ""); got.status != 204 {
		t.Errorf("late PATCH: %d %s", got.status, got.body)
	}
	if n := a.partials(); n != 0 {
		t.Errorf("%d partial blobs left", n)
	}
	empty, _ := a.create(0)
	a.wantInput(empty, "")
}

// TestUnfinished has the last byte arrive at a process that dies before it
// makes the upload a job. Whoever comes next does, and all at once make one.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	in := install(t)
	p := in.start(t, config{})
	head := func(id job.ID) { p.offset(httpapi.UploadPath(id)) }
	late := func(id job.ID) { p.patch(httpapi.UploadPath(id), 3, "") }
	look := func(id job.ID) {
		if err := p.submitter.LookAfter(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	sweep := func(id job.ID) { // finds it by itself, within seconds
		s := p.sys.Janitor.Sweeper()
		p.eventually("the sweeper finishes it", func() bool {
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
			return p.record(id).Snapshot.State == job.Queued
		})
	}
	for name, finish := range map[string][]func(job.ID){
		"head": {head}, "late patch": {late}, "look": {look}, "sweep": {sweep},
		"twice": {head, look, late, look},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, _ := p.create(3)
			appendOnly(p, id, "abc")
			if state := p.record(id).Snapshot.State; state != job.Uploading {
				t.Fatalf("state %s before it was finished", state)
			}
			for _, f := range finish {
				f(id)
			}
			p.wantInput(id, "abc")
		})
	}
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		other := in.start(t, config{})
		id, path := p.create(3)
		appendOnly(p, id, "abc")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { look(id) })
			wg.Go(func() { other.do("HEAD", path, nil) })
			wg.Go(func() { p.do("HEAD", path, nil) })
		}
		wg.Wait()
		p.wantInput(id, "abc")
	})
}

// appendOnly brings bytes into an upload and stops there, as a killed process does.
func appendOnly(p *process, id job.ID, data string) {
	p.Helper()
	u, err := p.submitter.Resume(p.Context(), submit.Uploader{View: access.Everything}, id)
	if err == nil {
		_, err = u.Append(p.Context(), strings.NewReader(data), func() {})
	}
	if err != nil {
		p.Fatal(err)
	}
}

// TestFinishedJobKeepsItsFiles finishes an upload again whose job has run and
// ended meanwhile: that is not taken for a lost one.
func TestFinishedJobKeepsItsFiles(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{})
	id, _ := p.create(3)
	appendOnly(p, id, "abc")
	stale, err := p.submitter.Resume(t.Context(), submit.Uploader{View: access.Everything}, id) // finishes it
	if err != nil {
		t.Fatal(err)
	}
	second, _ := p.create(3)
	late, err := p.submitter.Resume(t.Context(), submit.Uploader{View: access.Everything}, second)
	if err != nil {
		t.Fatal(err)
	}
	appendOnly(p, second, "abc")
	anybody := submit.Uploader{View: access.Everything}
	if _, err := p.submitter.Resume(t.Context(), anybody, second); err != nil {
		t.Fatal(err)
	}
	for _, one := range []job.ID{id, second} {
		fence := jobstore.NewFence()
		if _, err := p.sys.Store.Start(t.Context(), job.Ticket{ID: one, Delivery: 1}, fence,
			true); err != nil {
			t.Fatal(err)
		}
		if _, err := p.sys.Store.Finish(t.Context(), one, fence,
			jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stale.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	if err := late.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	for _, one := range []job.ID{id, second} {
		f, err := p.sys.Blobs.Open(t.Context(), jobstore.Folder(one)+"/in")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{most: 1000})
	_, path := p.create(10)
	p.patch(path, 0, "abc")
	plain, _, err := p.submitter.Submit(t.Context(), submitPrimes)
	if err != nil {
		t.Fatal(err)
	}
	meta := metadata("type", "file.checksum")
	chunked := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }
	for _, tt := range []struct {
		name, method, path string
		body               io.Reader
		headers            []string
		status             int
		code               httpapi.Code
	}{
		{"wrong offset", "PATCH", path, chunked("x"), []string{"Upload-Offset", "2"}, 409, httpapi.Conflict},
		{"no offset", "PATCH", path, chunked("x"), nil, 400, httpapi.Invalid},
		{"negative offset", "PATCH", path, chunked("x"), []string{"Upload-Offset", "-1"}, 400,
			httpapi.Invalid},
		{"unknown", "PATCH", httpapi.UploadPath(job.NewID(time.Now())), chunked("x"),
			[]string{"Upload-Offset", "0"}, 404, httpapi.NotFound},
		{"no id", "PATCH", httpapi.PathUploads + "/..%2fjobs", chunked("x"), []string{"Upload-Offset", "0"},
			404, httpapi.NotFound},
		{"no upload", "HEAD", httpapi.UploadPath(plain.ID), nil, nil, 404, ""},
		{"no upload", "DELETE", httpapi.UploadPath(plain.ID), nil, nil, 404, httpapi.NotFound},
		{"over the length", "PATCH", path, strings.NewReader("12345678"), []string{"Upload-Offset", "3"}, 413,
			httpapi.TooLarge},
		{"media type", "PATCH", path, chunked("x"), []string{"Upload-Offset", "3", "Content-Type",
			"text/plain"}, 415, httpapi.Unsupported},
		{"version", "PATCH", path, chunked("x"), []string{"Upload-Offset", "3", "Tus-Resumable", "0.2.2"},
			412, httpapi.Unsupported},
		{"download", "GET", path, nil, nil, 405, httpapi.Unsupported},
		{"override", "POST", path, nil, []string{"X-HTTP-Method-Override", "GET"}, 405, httpapi.Unsupported},
		{"too large", "POST", httpapi.PathUploads, nil, []string{"Upload-Length", "1001", "Upload-Metadata",
			meta}, 413, httpapi.TooLarge},
		{"no length", "POST", httpapi.PathUploads, nil, []string{"Upload-Metadata", meta}, 400,
			httpapi.Invalid},
		{"negative length", "POST", httpapi.PathUploads, nil,
			[]string{"Upload-Length", "-1", "Upload-Metadata", meta}, 400, httpapi.Invalid},
		{"deferred length", "POST", httpapi.PathUploads, nil, []string{"Upload-Defer-Length", "1",
			"Upload-Metadata", meta}, 501, httpapi.Unsupported},
		{"no type", "POST", httpapi.PathUploads, nil, []string{"Upload-Length", "1"}, 422, httpapi.Invalid},
		{"no file", "POST", httpapi.PathUploads, nil, []string{"Upload-Length", "1", "Upload-Metadata",
			metadata("type", "math.primes", "payload", `{"n":1}`)}, 422, httpapi.Invalid},
		{"payload", "POST", httpapi.PathUploads, nil, []string{"Upload-Length", "1", "Upload-Metadata",
			metadata("type", "file.checksum", "payload", `{"x":1}`)}, 422, httpapi.Invalid},
	} {
		got := p.do(tt.method, tt.path, tt.body, tt.headers...)
		if got.status != tt.status || tt.code != "" && !strings.Contains(got.body, `"code":"`+string(tt.code)+
			`"`) ||
			got.Get("Content-Type") != httpapi.TypeProblem || strings.Contains(got.body, "ERR_") {
			t.Errorf("%s: %d %v %s", tt.name, got.status, got.Header, got.body)
		}
	}
	if n := p.offset(path); n != 3 {
		t.Errorf("offset %d after refusals", n)
	}
	if n := p.partials(); n != 1 {
		t.Errorf("%d partial blobs, want the one", n)
	}
	if got := p.do("POST", path, chunked("defg"), "X-HTTP-Method-Override", "PATCH", "Upload-Offset",
		"3"); got.status != 204 {
		t.Errorf("PATCH by POST: %d %s", got.status, got.body)
	}
}

// TestRepeatedCreation repeats a creation whose answer was lost.
func TestRepeatedCreation(t *testing.T) {
	t.Parallel()
	p := install(t).start(t, config{})
	id := job.NewID(time.Now())
	for range 2 {
		if got, _ := p.create(6, "Longshore-Job", string(id)); got != id {
			t.Errorf("upload %s, want %s", got, id)
		}
	}
	path := httpapi.UploadPath(id)
	p.patch(path, 0, "abc")
	p.create(6, "Longshore-Job", string(id))
	send := func(body io.Reader, length, typ string) answer {
		return p.do("POST", httpapi.PathUploads, body, "Longshore-Job", string(id), "Upload-Length", length,
			"Upload-Metadata", metadata("type", typ))
	}
	// With bytes from the start: they are there already.
	if got := send(strings.NewReader("abc"), "6", "file.checksum"); got.status != 409 ||
		got.Get("Location") != path {
		t.Errorf("with bytes: %d %v", got.status, got.Header)
	}
	for _, other := range []answer{send(nil, "7", "file.checksum"), send(nil, "6", "file.compress")} {
		if other.status != 422 {
			t.Errorf("another upload under the same id: %d %s", other.status, other.body)
		}
	}
	if n := p.partials(); n != 1 {
		t.Errorf("%d partial blobs", n)
	}
	p.patch(path, 3, "def")
	p.wantInput(id, "abcdef")
	if got, _ := p.create(6, "Longshore-Job", string(id)); got != id {
		t.Errorf("after the end: %s", got)
	}
}
