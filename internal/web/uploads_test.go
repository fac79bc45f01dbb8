package web_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/refusal"
	"longshore/internal/submit"
	"longshore/internal/web"
	"longshore/job"
)

// Serve stands for package tus: it notes what is to be created.
func (s *store) Serve(_ context.Context, w http.ResponseWriter, r *http.Request,
	by submit.Uploader, create *submit.Request) error {
	switch {
	case create == nil && r.PathValue("id") == "":
		w.Header().Set("Tus-Version", "1.0.0")
	case create == nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err := s.seen(by.View, job.ID(r.PathValue("id"))); err == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return httpapi.NewError(httpapi.NotFound, "there is no such upload")
	case create.Type == "":
		return refuse("/type", "unknown type")
	case r.ContentLength != 0:
		io.Copy(io.Discard, r.Body) // it is over when the client says so
		w.WriteHeader(http.StatusCreated)
	default:
		s.reqs = append(s.reqs, *create)
		w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// Begin and Resume stand for uploads straight to the bucket, which the files here have none of.
func (s *store) Begin(_ context.Context, r submit.Request, _ string) (*submit.Resumable, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reqs = append(s.reqs, r)
	return nil, false, refuse("/direct", "no bucket")
}

func (s *store) Resume(_ context.Context, by submit.Uploader, id job.ID) (*submit.Resumable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.seen(by.View, id); err != nil {
		return nil, refusal.Of(err)
	}
	return nil, httpapi.NewError(httpapi.Conflict, "it is none that goes to a bucket")
}

// metadata writes a value of Upload-Metadata.
func metadata(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(all, ",")
}

func TestCreateUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := b.do("POST", "/v1/uploads", "", "Upload-Metadata", metadata("type", "log.analyze", "payload",
		`{"top":3}`, "filename", "../access.log", "name", "other",
		"filetype", "text/plain", "priority", "high", "timeout", "90s", "max_attempts", "2", "relativePath",
		"null")); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	r := b.reqs[0]
	if r.Type != "log.analyze" || string(r.Payload) != `{"top":3}` || r.Filename != "../access.log" ||
		r.ContentType != "text/plain" ||
		r.Priority != job.High || r.Timeout != 90*time.Second || r.MaxAttempts != 2 {
		t.Errorf("request %+v", r)
	}
	// Uppy says name, and tusd's other clients say filename.
	if b.do("POST", "/v1/uploads", "", "Upload-Metadata",
		metadata("type", "x", "name", "n.txt")); b.reqs[1].Filename != "n.txt" {
		t.Errorf("name %q", b.reqs[1].Filename)
	}
	for _, tt := range []struct {
		headers []string
		status  int
		pointer string
	}{
		{[]string{"Upload-Metadata", "type log.analyze!"}, 422, "/headers/Upload-Metadata"},
		{nil, 422, "/headers/Upload-Metadata/type"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze", "timeout", "soon")}, 422,
			"/headers/Upload-Metadata/timeout"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze", "type", "file.checksum", "priority",
			"low", "priority", "high")}, 422, "/headers/Upload-Metadata/type"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze", "priority", "low", "priority", "high")},
			422, "/headers/Upload-Metadata/priority"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze", "name", "a", "name", "a")}, 422,
			"/headers/Upload-Metadata/name"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", "+5"}, 400,
			"/headers/Upload-Length"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", "-5"}, 400,
			"/headers/Upload-Length"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", "0x5"}, 400,
			"/headers/Upload-Length"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", "1_0"}, 400,
			"/headers/Upload-Length"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", ""}, 400,
			"/headers/Upload-Length"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length", "9223372036854775808"},
			413, ""},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length",
			strings.Repeat("9", 400)}, 413, ""},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "X-HTTP-Method-Override", "PATCH"}, 405, ""},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Longshore-Job", "mine"}, 422,
			"/headers/Longshore-Job"},
		{[]string{"Upload-Metadata", metadata("type", "log.analyze"), "Upload-Concat", "partial"}, 501, ""},
	} {
		got := b.do("POST", "/v1/uploads", "", tt.headers...)
		if got.status != tt.status || tt.pointer != "" &&
			!strings.Contains(got.body, `"pointer":"`+tt.pointer+`"`) {
			t.Errorf("%v: %d %s", tt.headers, got.status, got.body)
		}
	}
}

// TestUploadOrigins asks as a browser does before a page of an allowed origin uploads.
func TestUploadOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Origins = []string{"https://app.example"} })
	ask := func(origin string) reply {
		return b.do("OPTIONS", "/v1/uploads", "", "Origin", origin, "Access-Control-Request-Method", "PATCH",
			"Access-Control-Request-Headers", "tus-resumable,upload-offset")
	}
	got := ask("https://app.example")
	if got.status != 204 || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "PATCH") ||
		!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Upload-Offset") {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := ask("https://evil.example"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign origin: %v", got.header)
	}
	if got := b.do("HEAD", httpapi.UploadPath(job.NewID(time.Now())), "", "Origin",
		"https://app.example"); !strings.Contains(
		got.header.Get("Access-Control-Expose-Headers"), "Upload-Offset") {
		t.Errorf("%d %v", got.status, got.header)
	}
}

// TestPiecesAreLimited holds tus to the limits of other uploads, but with
// statuses at which its clients try again.
func TestPiecesAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxUploadsPerAddress = 1 }, behindProxy)
	const path, from = "/v1/uploads", "X-Forwarded-For"
	what := metadata("type", "log.analyze")
	body, pipe := io.Pipe()
	first := make(chan int)
	go func() { first <- b.send("POST", path, body, from, "203.0.113.7", "Upload-Metadata", what).status }()
	pipe.Write([]byte("first")) // taken: the server is asked
	var second reply
	for second.status != http.StatusServiceUnavailable { // until the server has the first one
		second = b.do("PATCH", path+"/x", "bytes", from, "203.0.113.7")
	}
	second.problem(503, httpapi.RateLimited)
	if second.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if r := b.do("PATCH", path+"/x", "bytes", from, "203.0.113.8"); r.status != 404 {
		t.Errorf("another address: %d %s", r.status, r.body)
	}
	if r := b.do("HEAD", path+"/x", "", from, "203.0.113.7"); r.status != 404 {
		t.Errorf("a look: %d %s", r.status, r.body)
	}
	pipe.Close()
	if status := <-first; status != 201 {
		t.Errorf("the first one ended with %d", status)
	}
	if r := b.do("PATCH", path+"/x", "bytes", from, "203.0.113.7"); r.status != 404 {
		t.Errorf("after it ended: %d %s", r.status, r.body)
	}
}

// TestNoSpaceForPieces refuses an upload at its creation that would not fit.
func TestNoSpaceForPieces(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MinFreeSpace = 1000 })
	b.mu.Lock()
	b.free, b.total = 1_000_000, 2_000_000
	b.mu.Unlock()
	what := metadata("type", "log.analyze")
	b.do("POST", "/v1/uploads", "", "Upload-Metadata", what, "Upload-Length", "1000000").
		problem(507, httpapi.Unavailable)
	if r := b.do("POST", "/v1/uploads", "", "Upload-Metadata", what, "Upload-Length",
		"1000"); r.status != 201 {
		t.Errorf("one that fits: %d %s", r.status, r.body)
	}
}

// TestMethodOverride takes what a client that can't send PATCH or DELETE needs.
func TestMethodOverride(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/v1/uploads/0199c0de-0000-7000-8000-000000000001"
	for _, method := range []string{"HEAD", "OPTIONS", "GET", "POST", "PUT", "CONNECT", "patch",
		"PATCH, DELETE"} {
		b.do("POST", path, "", "X-HTTP-Method-Override", method).problem(405, httpapi.Unsupported)
	}
	b.do("POST", path, "").problem(422, httpapi.Invalid)
	for _, method := range []string{"PATCH", "DELETE"} {
		b.do("POST", path, "", "X-HTTP-Method-Override", method).problem(404, httpapi.NotFound)
	}
	for _, offset := range []string{"+5", "", " 5,5", "1e3"} {
		if got := b.do("PATCH", path, "", "Upload-Offset", offset); got.status != 400 {
			t.Errorf("offset %q: %d %s", offset, got.status, got.body)
		}
	}
}

// TestTooLargeComesFirst refuses for good what would not fit into an empty store either.
func TestTooLargeComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MinFreeSpace, c.MaxUpload = 1000, 5000 })
	b.free, b.total = 999, 1_000_000
	b.do("POST", "/v1/uploads", "", "Upload-Metadata", metadata("type", "log.analyze"), "Upload-Length",
		"1152921504606846976").
		problem(413, httpapi.TooLarge)
	b.do("POST", "/v1/jobs/log.analyze", strings.Repeat("x", 5001)).problem(413, httpapi.TooLarge)
	b.do("POST", "/v1/jobs/log.analyze", "x").problem(507, httpapi.Unavailable)
}

// TestFormFrame bounds a form's parts by their number and by all of their bytes,
// also of those that have no name and no value.
func TestFormFrame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const kind, path, boundary = "multipart/form-data; boundary=b", "/v1/jobs/log.analyze", "--b\r\n"
	part := func(headers, value string) string { return boundary + headers + "\r\n" + value + "\r\n" }
	const file = "Content-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n"
	long := strings.Repeat("X-Some: "+strings.Repeat("x", 1000)+"\r\n", 40)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"parts":      {strings.Repeat(part("", ""), 64) + part(file, "text") + "--b--", 413},
		"many parts": {strings.Repeat(part("", ""), 100_000), 413},
		"named parts": {strings.Repeat(part("Content-Disposition: form-data; name=\"filename\"\r\n", "x"),
			65), 413},
		"headers":        {strings.Repeat(part(long, ""), 63) + part(file, "text") + "--b--", 413},
		"one header":     {part("X-Some: "+strings.Repeat("x", 9<<20)+"\r\n", "x"), 413},
		"preamble":       {strings.Repeat("nothing\r\n", 100_000) + part(file, "text") + "--b--", 413},
		"headers behind": {part(file, "text") + boundary + strings.Repeat(long, 100) + "\r\n", 422},
		"file's headers": {part(file+strings.Repeat(long, 100), "text") + "--b--", 413},
		"a few": {part("Content-Disposition: form-data; name=\"priority\"\r\n", "low") +
			part(file, "text") + "--b--", 202},
		"a large file": {part(file, strings.Repeat("text", 1<<20)) + "--b--", 202},
	} {
		if got := b.do("POST", path, c.body, "Content-Type", kind); got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}
