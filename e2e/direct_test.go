//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"longshore/answer"
	"longshore/client"
	"longshore/internal/blob/bucket/buckettest"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A straight is an upload that a test sends straight to the bucket, by hand.
type straight struct {
	url     string // of web
	content []byte
	sha256  string // of the content, in hexadecimal
	answer.DirectUpload
}

// stay follows no redirect, and outside tells nobody our token.
var (
	stay    = &http.Client{Transport: plain.Transport, CheckRedirect: noRedirect, Timeout: time.Minute}
	outside = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
)

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// requestBy is request by another client.
func requestBy(t *testing.T, c *http.Client, method, url string, body io.Reader, headers ...string) reply {
	t.Helper()
	r, err := tryBy(t, c, method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const jsonType = "Content-Type: application/json"

// beginStraight begins an upload of noise.
func beginStraight(t *testing.T, url string, size int, more string, headers ...string) *straight {
	t.Helper()
	u := &straight{url: url, content: make([]byte, size)}
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(u.content) // never fails
	sum := sha256.Sum256(u.content)
	u.sha256 = hex.EncodeToString(sum[:])
	u.begin(t, http.StatusCreated, more, headers...)
	return u
}

func (u *straight) begin(t *testing.T, status int, more string, headers ...string) {
	t.Helper()
	r := request(t, "POST", u.url+httpapi.PathUploads, strings.NewReader(fmt.Sprintf(
		`{"type":"file.checksum","direct":true,"size":%d%s}`, len(u.content), more)), append(headers, jsonType)...)
	u.read(t, r, status)
	if r.Header.Get(httpapi.HeaderJob) != string(u.ID) || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the upload began as %v", r.Header)
	}
}

func (u *straight) read(t *testing.T, r reply, status int) {
	t.Helper()
	u.DirectUpload = answer.DirectUpload{}
	if r.StatusCode != status || json.Unmarshal(r.body, &u.DirectUpload) != nil {
		t.Fatalf("upload: %s %s, want %d", r.Status, r.body, status)
	}
}

// ask asks for parts.
func (u *straight) ask(t *testing.T, body string) reply {
	t.Helper()
	return request(t, "POST", u.url+httpapi.PartsPath(u.ID), strings.NewReader(body), jsonType)
}

func (u *straight) complete(t *testing.T, body string) reply {
	t.Helper()
	return request(t, "POST", u.url+httpapi.CompletePath(u.ID), strings.NewReader(body), jsonType)
}

// bytesOf are those of a part.
func (u *straight) bytesOf(p answer.UploadPart) []byte {
	from := int64(p.Number-1) * u.PartSize
	return u.content[from : from+p.Size]
}

// put sends something to where a part goes.
func put(t *testing.T, p answer.UploadPart, content []byte) (reply, error) {
	t.Helper()
	var headers []string
	for name, value := range p.Headers {
		headers = append(headers, name+": "+value)
	}
	return tryBy(t, outside, "PUT", p.URL, bytes.NewReader(content), headers...)
}

// turnedAway reports whether the bucket refuses something with one of some statuses. It may cut before it
// was said.
func turnedAway(t *testing.T, p answer.UploadPart, content []byte, status ...int) bool {
	t.Helper()
	r, err := put(t, p, content)
	return err != nil || slices.Contains(status, r.StatusCode)
}

func (u *straight) putAll(t *testing.T, parts ...answer.UploadPart) {
	t.Helper()
	for _, p := range parts {
		if r, err := put(t, p, u.bytesOf(p)); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("part %d: %v, %s", p.Number, err, r.body)
		}
	}
}

// sums are those of some parts as JSON, and that of all of them.
func (u *straight) sums(from, to int) (list, all string) {
	digest := sha256.New()
	var texts []string
	for n := 1; n <= u.PartCount; n++ {
		sum := sha256.Sum256(u.content[int64(n-1)*u.PartSize : min(int64(n)*u.PartSize, u.Size)])
		digest.Write(sum[:])
		if n >= from && n <= to {
			texts = append(texts, `"`+hex.EncodeToString(sum[:])+`"`)
		}
	}
	return "[" + strings.Join(texts, ",") + "]", hex.EncodeToString(digest.Sum(nil))
}

// succeeds checks that the job has seen the very bytes.
func (u *straight) succeeds(t *testing.T) {
	t.Helper()
	if snap := wait(t, clientOf(t, u.url), u.ID); snap.State != job.Succeeded ||
		!strings.Contains(string(snap.Result), u.sha256) {
		t.Errorf("job ended as %+v, want a sum of %s", snap, u.sha256)
	}
}

// TestStraight sends a file in parts, in any order, tells how far it is, and completes it twice. What is sent
// to the addresses after that changes nothing.
func TestStraight(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t)
	web, url := in.web(t)
	worker := in.worker(t)
	u := beginStraight(t, url, 12<<20+345, `,"filename":"noise.bin","priority":"high"`)
	if len(u.Parts) != 3 || u.PartCount != 3 || u.PartSize != 5<<20 || u.Next != 0 || u.Complete ||
		u.Parts[2].Size != 2<<20+345 || u.URLsEnd == nil || u.ExpiresAt == nil {
		t.Fatalf("the upload began as %+v", u.DirectUpload)
	}
	parts := u.Parts
	if p := u.complete(t, "").problem(t, 409, httpapi.Conflict); !strings.Contains(p.Detail, "3 of 3 parts are not there: 1, 2, 3") {
		t.Errorf("complete of nothing: %s", p.Detail)
	}
	u.putAll(t, parts[2], parts[0])
	u.read(t, u.ask(t, `{"count":0}`), 200)
	if u.PartsDone != 2 || u.BytesDone != 7<<20+345 || len(u.Parts) != 0 || u.Next != 1 {
		t.Errorf("with two parts: %+v", u.DirectUpload)
	}
	snap := request(t, "GET", url+httpapi.JobPath(u.ID), nil).snapshot(t)
	if snap.State != job.Uploading || snap.Progress == nil || snap.Progress.BytesDone != 7<<20+345 ||
		snap.Progress.Phase != job.PhaseUpload {
		t.Errorf("the job is %+v, %+v", snap, snap.Progress)
	}
	if p := u.complete(t, "").problem(t, 409, httpapi.Conflict); !strings.Contains(p.Detail, "not there: 2") {
		t.Errorf("complete without the second part: %s", p.Detail)
	}
	u.read(t, u.ask(t, ""), 200)
	if len(u.Parts) != 1 || u.Parts[0].Number != 2 {
		t.Errorf("missing: %+v", u.Parts)
	}
	if !turnedAway(t, u.Parts[0], u.content[:17], http.StatusForbidden) {
		t.Error("a part of another length is taken")
	}
	u.putAll(t, u.Parts...)
	if r := u.complete(t, ""); r.StatusCode != http.StatusAccepted || r.snapshot(t).ID != u.ID {
		t.Errorf("complete: %s %s", r.Status, r.body)
	}
	for _, p := range parts {
		if !turnedAway(t, p, bytes.Repeat([]byte("x"), int(p.Size)), http.StatusNotFound) {
			t.Errorf("part %d is taken after the end", p.Number)
		}
	}
	u.succeeds(t)
	if r := u.complete(t, "{}"); r.StatusCode != http.StatusOK || r.snapshot(t).State != job.Succeeded {
		t.Errorf("complete again: %s %s", r.Status, r.body)
	}
	if u.read(t, u.ask(t, ""), 200); !u.Complete || len(u.Parts) != 0 {
		t.Errorf("a complete upload has %+v", u.DirectUpload)
	}
	if names, parts := stored(t, server); len(names) != 1 || parts != 0 {
		t.Errorf("stored: %v and %d parts", names, parts)
	}
	if said := append(web.said("X-Amz-Signature"), worker.said("X-Amz-Signature")...); len(said) > 0 {
		t.Errorf("a log tells an address: %s", said)
	}
}

// TestStraightSums sends each part with its sum: other bytes are refused where they go, and at the end.
func TestStraightSums(t *testing.T) {
	t.Parallel()
	in, _ := installInBucket(t)
	_, url := in.web(t)
	in.worker(t)
	u := beginStraight(t, url, 6<<20, `,"checksum":"sha256"`)
	if u.Checksum != "sha256" || len(u.Parts) != 0 || u.Next != 1 || u.PartCount != 2 {
		t.Fatalf("the upload began as %+v", u.DirectUpload)
	}
	list, all := u.sums(1, 2)
	u.read(t, u.ask(t, `{"sha256":`+list+`}`), 200)
	if len(u.Parts) != 2 || u.Next != 0 {
		t.Fatalf("parts %+v", u.Parts)
	}
	other := bytes.Clone(u.bytesOf(u.Parts[0]))
	other[0] ^= 1
	if !turnedAway(t, u.Parts[0], other, http.StatusBadRequest) {
		t.Error("a part with other bytes is taken")
	}
	bare := u.Parts[0]
	bare.Headers = nil
	if !turnedAway(t, bare, u.bytesOf(bare), http.StatusForbidden) {
		t.Error("a part without its sum is taken")
	}
	u.putAll(t, u.Parts...)
	for _, body := range []string{"", `{"sha256":"` + u.sha256 + `"}`} {
		if p := u.complete(t, body).problem(t, 422, httpapi.Invalid); len(p.Errors) != 1 || p.Errors[0].Pointer != "/sha256" {
			t.Errorf("complete by %q: %+v", body, p)
		}
	}
	// One part of another file by the same upload: its sum isn't asked for again where it is right.
	wrong := sha256.Sum256([]byte("x"))
	first, _ := u.sums(1, 1)
	u.read(t, u.ask(t, `{"from":1,"sha256":[`+strings.Trim(first, "[]")+`,"`+hex.EncodeToString(wrong[:])+`"]}`), 200)
	if len(u.Parts) != 1 || u.Parts[0].Number != 2 {
		t.Errorf("to be sent again: %+v", u.Parts)
	}
	if r := u.complete(t, `{"sha256":"`+all+`"}`); r.StatusCode != http.StatusAccepted {
		t.Errorf("complete: %s %s", r.Status, r.body)
	}
	u.succeeds(t)
}

// TestStraightRefused asks for what can't be.
func TestStraightRefused(t *testing.T) {
	t.Parallel()
	in, _ := installInBucket(t, "MAX_UPLOAD=100MB", "MAX_OPEN_UPLOADS=9")
	_, url := in.web(t)
	onDisk := install(t)
	_, disk := onDisk.web(t)
	for body, pointer := range map[string]string{
		`{"type":"file.checksum","direct":true}`:                                                                  "/size",
		`{"type":"file.checksum","direct":true,"size":-1}`:                                                        "/size",
		`{"type":"file.checksum","direct":true,"size":"5"}`:                                                       "/size",
		`{"type":"file.checksum","direct":true,"size":1.5}`:                                                       "/size",
		`{"type":"file.checksum","direct":false,"size":5}`:                                                        "/direct",
		`{"type":"file.checksum","direct":"true","size":5}`:                                                       "/direct",
		`{"type":"file.checksum","size":5}`:                                                                       "/direct",
		`{"type":"nothing","direct":true,"size":5}`:                                                               "/type",
		`{"type":"math.primes","payload":{"n":5},"direct":true,"size":5}`:                                         "/input",
		`{"type":"file.checksum","direct":true,"size":5,"checksum":"md5"}`:                                        "/checksum",
		`{"type":"file.checksum","direct":true,"size":5,"colour":"red"}`:                                          "/colour",
		`{"type":"file.checksum","direct":true,"size":5,"timeout":"soon"}`:                                        "/timeout",
		`{"type":"file.checksum","direct":true,"size":5,"unique_key":"one"}`:                                      "/unique_key",
		`{"type":"file.checksum","direct":true,"size":5,"input":{"job":"` + string(job.NewID(time.Now())) + `"}}`: "/input",
	} {
		p := request(t, "POST", url+httpapi.PathUploads, strings.NewReader(body), jsonType).problem(t, 422, httpapi.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", body, p)
		}
	}
	const good = `{"type":"file.checksum","direct":true,"size":5}`
	if p := request(t, "POST", disk+httpapi.PathUploads, strings.NewReader(good), jsonType).
		problem(t, 422, httpapi.Invalid); len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Detail, "on disk") {
		t.Errorf("on disk: %+v", p)
	}
	request(t, "POST", url+httpapi.PathUploads, strings.NewReader(`{"type":"file.checksum","direct":true,"size":100000001}`),
		jsonType).problem(t, 413, httpapi.TooLarge)
	request(t, "POST", url+httpapi.PathUploads, strings.NewReader("{"), jsonType).problem(t, 400, httpapi.Invalid)

	u := beginStraight(t, url, 5, "")
	for body, pointer := range map[string]string{
		`{"from":0}`: "/from", `{"from":3}`: "/from", `{"count":101}`: "", `{"count":-1}`: "", `{"from":"1"}`: "/from",
		`{"sha256":["zz"]}`: "/sha256/0", `{"sha256":[]}`: "/sha256", `{"part":1}`: "/part",
	} {
		p := u.ask(t, body).problem(t, 422, httpapi.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("parts %s: %+v", body, p)
		}
	}
	u.complete(t, `{"sha256":"1"}`).problem(t, 422, httpapi.Invalid)
	u.complete(t, `{"sha256":"`+u.sha256+`"}`).problem(t, 422, httpapi.Invalid)
	// The two kinds of uploads keep to themselves.
	request(t, "PATCH", url+httpapi.UploadPath(u.ID), strings.NewReader("x"), "Tus-Resumable: 1.0.0", "Upload-Offset: 0",
		"Content-Type: application/offset+octet-stream").problem(t, 422, httpapi.Invalid)
	tus := request(t, "POST", url+httpapi.PathUploads, nil, "Tus-Resumable: 1.0.0", "Upload-Length: 5",
		"Upload-Metadata: type ZmlsZS5jaGVja3N1bQ==", "Idempotency-Key: one")
	other := &straight{url: url}
	other.ID = job.ID(tus.Header.Get(httpapi.HeaderJob))
	other.ask(t, "").problem(t, 422, httpapi.Invalid)
	other.complete(t, "").problem(t, 422, httpapi.Invalid)
	request(t, "POST", url+httpapi.PathUploads, strings.NewReader(good), jsonType, "Idempotency-Key: one").
		problem(t, 422, httpapi.IdempotencyMismatch)
	other.ID = job.NewID(time.Now())
	other.ask(t, "").problem(t, 404, httpapi.NotFound)
	other.complete(t, "").problem(t, 404, httpapi.NotFound)

	empty := beginStraight(t, url, 0, "")
	if r := empty.complete(t, ""); empty.PartCount != 0 || r.StatusCode != http.StatusAccepted {
		t.Errorf("an empty file: %+v, %s %s", empty.DirectUpload, r.Status, r.body)
	}
	in.worker(t)
	empty.succeeds(t)
	for range 7 {
		beginStraight(t, url, 5, "")
	}
	request(t, "POST", url+httpapi.PathUploads, strings.NewReader(good), jsonType).problem(t, 503, httpapi.RateLimited)
}

// TestStraightAtOnce completes an upload by many requests at once, at two web processes.
func TestStraightAtOnce(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t)
	_, url := in.web(t)
	_, second := in.web(t)
	in.worker(t)
	for range 5 {
		u := beginStraight(t, url, 5<<20+1, "")
		u.putAll(t, u.Parts...)
		var group sync.WaitGroup
		for n := range 8 {
			group.Go(func() {
				r, err := tryRequest(t, "POST", []string{url, second}[n%2]+httpapi.CompletePath(u.ID), nil)
				if err != nil || r.StatusCode != http.StatusAccepted && r.StatusCode != http.StatusOK {
					t.Errorf("complete: %v, %v", r, err)
				}
			})
		}
		group.Wait()
		u.succeeds(t)
	}
	if names, parts := stored(t, server); len(names) != 5 || parts != 0 {
		t.Errorf("stored: %v and %d parts", names, parts)
	}
}

// TestStraightNever leaves uploads where they are: the sweep ends them, with what they brought. One that is
// asked for lives on. A cancel ends one at once.
func TestStraightNever(t *testing.T) {
	t.Parallel()
	in, server := installInBucket(t, "UPLOAD_EXPIRY=6s")
	_, url := in.web(t)
	half, all, kept := beginStraight(t, url, 6<<20, ""), beginStraight(t, url, 6, ""), beginStraight(t, url, 7, "")
	half.putAll(t, half.Parts[0])
	all.putAll(t, all.Parts...)
	c := clientOf(t, url)
	ended := make(chan job.Snapshot, 2)
	for _, u := range []*straight{half, all} {
		go func() { snap, _ := c.Wait(t.Context(), u.ID); ended <- snap }()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; n < 2; {
		select {
		case snap := <-ended:
			if n++; snap.State != job.Failed || snap.Error == nil || snap.Error.Code != job.UploadIncomplete {
				t.Errorf("job ended as %+v", snap)
			}
		case <-tick.C:
			kept.read(t, kept.ask(t, ""), 200)
		}
	}
	eventually(t, "the parts are gone", func() bool { _, parts := stored(t, server); return parts == 0 })
	if !turnedAway(t, half.Parts[1], half.bytesOf(half.Parts[1]), http.StatusNotFound, http.StatusForbidden) {
		t.Error("a part is taken after the end") // its address has ended too, most often
	}
	for _, u := range []*straight{half, all} {
		u.complete(t, "").problem(t, 410, httpapi.NotFound)
		u.ask(t, "").problem(t, 410, httpapi.NotFound)
	}
	canceled := beginStraight(t, url, 5, "")
	canceled.putAll(t, canceled.Parts...)
	if _, err := c.Cancel(t.Context(), canceled.ID); err != nil {
		t.Fatal(err)
	}
	canceled.complete(t, "").problem(t, 410, httpapi.NotFound)
	eventually(t, "its parts are gone", func() bool { _, parts := stored(t, server); return parts == 0 })
	deleted := beginStraight(t, url, 4, "")
	deleted.putAll(t, deleted.Parts...)
	if r := request(t, "DELETE", url+httpapi.UploadPath(deleted.ID), nil, "Tus-Resumable: 1.0.0"); r.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %s %s", r.Status, r.body)
	}
	deleted.complete(t, "").problem(t, 410, httpapi.NotFound)
	kept.putAll(t, kept.Parts...)
	if r := kept.complete(t, ""); r.StatusCode != http.StatusAccepted {
		t.Errorf("complete after a long while: %s %s", r.Status, r.body)
	}
}

// TestStraightKilled kills web before and after the bucket completes an upload, and between all other
// steps: a repeat at another process goes on, and so does the sweep where the bucket has it whole.
func TestStraightKilled(t *testing.T) {
	t.Parallel()
	var strike atomic.Pointer[func(forward func())]
	in, server := installInBucket(t)
	proxy := before(t, server, func(r *http.Request, forward func()) {
		if hit := strike.Load(); hit != nil && r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			(*hit)(forward)
			return
		}
		forward()
	})
	in.env = append(in.env, "BLOB_URL="+buckettest.URLAt(proxy, "shore")+"&public_endpoint="+url.QueryEscape(server.Endpoint))
	_, url := in.web(t)
	in.worker(t)
	for _, after := range []bool{false, true} {
		for _, again := range []bool{false, true} {
			doomed, its := in.web(t)
			u := beginStraight(t, its, 6<<20, "", "Idempotency-Key: "+fmt.Sprint(after, again))
			if !strings.HasPrefix(u.Parts[0].URL, server.Endpoint) {
				t.Errorf("a part goes to %s", u.Parts[0].URL)
			}
			u.putAll(t, u.Parts[1])
			hit := func(forward func()) {
				if strike.Store(nil); after {
					forward()
				}
				doomed.signal(syscall.SIGKILL)
				<-doomed.done
			}
			if !again { // also between the first steps
				doomed.signal(syscall.SIGKILL)
				<-doomed.done
				doomed, its = in.web(t)
				u.url = its
				u.begin(t, http.StatusOK, "", "Idempotency-Key: "+fmt.Sprint(after, again))
				if len(u.Parts) != 1 || u.Parts[0].Number != 1 || u.PartsDone != 1 {
					t.Errorf("the upload goes on as %+v", u.DirectUpload)
				}
			}
			u.putAll(t, u.Parts[0])
			strike.Store(&hit)
			if _, err := tryRequest(t, "POST", its+httpapi.CompletePath(u.ID), nil); err == nil {
				t.Error("the killed process answered")
			}
			u.url = url
			if again || !after {
				if r := u.complete(t, ""); r.StatusCode != http.StatusAccepted && r.StatusCode != http.StatusOK {
					t.Errorf("complete again, after=%v: %s %s", after, r.Status, r.body)
				}
			}
			u.succeeds(t)
		}
	}
}

// before puts a proxy before a bucket.
func before(t *testing.T, server *buckettest.Server,
	hit func(r *http.Request, forward func())) (endpoint string) {
	t.Helper()
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // it is signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit(r, func() { forward.ServeHTTP(w, r) })
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// TestStraightOutput fetches outputs from the bucket, and from a disk, where there is none.
func TestStraightOutput(t *testing.T) {
	t.Parallel()
	for _, onDisk := range []bool{false, true} {
		in, _ := installInBucket(t)
		if onDisk {
			in = install(t)
		}
		_, url := in.web(t)
		in.worker(t)
		c := clientOf(t, url)
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"}, strings.NewReader("content"), -1)
		if err != nil {
			t.Fatal(err)
		}
		snap = wait(t, c, snap.ID)
		if _, said, _ := call(t, "", in.env, "enqueue", "doctor"); strings.Contains(said, "bucket CORS") == onDisk {
			t.Errorf("doctor: %s", said)
		}
		whole := request(t, "GET", url+httpapi.ResultPath(snap.ID), nil)
		for _, path := range []string{httpapi.ResultPath(snap.ID),
			httpapi.OutputPath(snap.ID, snap.Outputs[0].Name)} {
			r := requestBy(t, stay, "GET", url+path+"?direct", nil)
			if onDisk {
				if r.StatusCode != http.StatusOK || !bytes.Equal(r.body, whole.body) {
					t.Errorf("on disk: %s", r.Status)
				}
				continue
			}
			if r.StatusCode != http.StatusFound || r.Header.Get("Cache-Control") != "no-store" || len(r.body) > 0 {
				t.Fatalf("direct: %s %v", r.Status, r.Header)
			}
			there := requestBy(t, outside, "GET", r.Header.Get("Location"), nil)
			for _, name := range []string{"Content-Type", "Content-Disposition"} {
				if there.Header.Get(name) != whole.Header.Get(name) {
					t.Errorf("%s: %q, and %q from us", name, there.Header.Get(name), whole.Header.Get(name))
				}
			}
			if there.StatusCode != http.StatusOK || !bytes.Equal(there.body, whole.body) {
				t.Errorf("from the bucket: %s, %d bytes", there.Status, len(there.body))
			}
			if r := request(t, "HEAD", url+path+"?direct", nil); r.StatusCode != http.StatusOK {
				t.Errorf("HEAD: %s", r.Status)
			}
			if r := request(t, "GET", url+path+"?direct=false", nil); r.StatusCode != http.StatusOK {
				t.Errorf("not direct: %s", r.Status)
			}
		}
		request(t, "GET", url+httpapi.ResultPath(snap.ID)+"?direct=maybe", nil).problem(t, 422, httpapi.Invalid)
	}
}
