//go:build linux

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A badRequest is one that no client should send. Without method and path it
// is a submission in JSON.
type badRequest struct {
	name, method, path, body string
	headers                  []string
	status                   int
	code                     httpapi.Code
	pointer                  string // of the first mistake; "" = none need be named
}

func badRequests() []badRequest {
	unknown := "/v1/jobs/" + string(job.NewID(time.Now()))
	primes := func(payload string) string { return `{"type":"math.primes","payload":` + payload + `}` }
	with := func(field string) string { return `{"type":"math.primes","payload":{"n":1},` + field + `}` }
	const invalid, notFound = httpapi.Invalid, httpapi.NotFound
	return []badRequest{
		{name: "malformed", body: `{"type":`, status: 400, code: invalid},
		{name: "empty", body: ``, status: 400, code: invalid},
		{name: "trailing", body: primes(`{"n":1}`) + ` {}`, status: 400, code: invalid},
		{name: "duplicate key", body: `{"type":"math.primes","type":"log.analyze"}`, status: 400,
			code: invalid},
		{name: "duplicate key inside", body: primes(`{"n":1,"n":2}`), status: 400, code: invalid},
		{name: "duplicate key, escaped", body: primes(`{"n":1,"\u006e":2}`), status: 400, code: invalid},
		{name: "invalid UTF-8", body: primes("{\"\xff\":1}"), status: 400, code: invalid},
		{name: "deep", body: primes(strings.Repeat("[", 50_000)), status: 400, code: invalid},
		{name: "huge", body: primes(`{"n":"` + strings.Repeat("x", 1<<20) + `"}`), status: 413,
			code: httpapi.TooLarge},
		{name: "payload too long", body: primes(`{"n":"` + strings.Repeat("x", 70<<10) + `"}`), status: 422,
			code: invalid, pointer: "/payload"},
		{name: "array", body: `[]`, status: 422, code: invalid},
		{name: "null", body: `null`, status: 422, code: invalid},
		{name: "unknown type", body: `{"type":"no.such"}`, status: 422, code: invalid, pointer: "/type"},
		{name: "odd type", body: `{"type":"../{x}\r\n"}`, status: 422, code: invalid, pointer: "/type"},
		{name: "no type", body: `{"payload":{"n":1}}`, status: 422, code: invalid},
		{name: "unknown field", body: with(`"priorty":"high"`), status: 422, code: invalid,
			pointer: "/priorty"},
		{name: "unknown field of the payload", body: primes(`{"n":1,"m":2}`), status: 422, code: invalid,
			pointer: "/payload/m"},
		{name: "wrong payload", body: primes(`{"n":"many"}`), status: 422, code: invalid,
			pointer: "/payload/n"},
		{name: "payload out of range", body: primes(`{"n":-1}`), status: 422, code: invalid,
			pointer: "/payload/n"},
		{name: "number over all bounds", body: primes(`{"n":1e999}`), status: 422, code: invalid,
			pointer: "/payload"},
		{name: "payload no object", body: primes(`7`), status: 422, code: invalid, pointer: "/payload"},
		{name: "payload missing", body: `{"type":"math.primes"}`, status: 422, code: invalid,
			pointer: "/payload"},
		{name: "odd duration", body: with(`"timeout":"soon"`), status: 422, code: invalid,
			pointer: "/timeout"},
		{name: "odd time", body: with(`"run_at":"soon"`), status: 422, code: invalid, pointer: "/run_at"},
		{name: "odd priority", body: with(`"priority":"urgent"`), status: 422, code: invalid,
			pointer: "/priority"},
		{name: "negative attempts", body: with(`"max_attempts":-1`), status: 422, code: invalid,
			pointer: "/max_attempts"},
		{name: "file type without file", body: `{"type":"file.checksum"}`, status: 422, code: invalid,
			pointer: "/input"},
		{name: "packed JSON", body: primes(`{"n":1}`), headers: []string{"Content-Encoding: gzip"},
			status: 415, code: httpapi.Unsupported},
		{name: "no JSON", body: primes(`{"n":1}`), headers: []string{"Content-Type: text/xml"}, status: 415,
			code: httpapi.Unsupported},
		{name: "long key", body: primes(`{"n":1}`),
			headers: []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, status: 422, code: invalid},
		{name: "chosen id with braces", body: primes(`{"n":1}`), headers: []string{"Longshore-Job: {0}"},
			status: 422, code: invalid, pointer: "/headers/Longshore-Job"},

		{name: "id with braces", method: "GET", path: "/v1/jobs/%7B0%7D", status: 422, code: invalid,
			pointer: "/path/id"},
		{name: "id with CRLF", method: "GET", path: "/v1/jobs/a%0d%0aSet-Cookie:x", status: 422,
			code: invalid, pointer: "/path/id"},
		{name: "id in capitals", method: "GET", path: "/v1/jobs/0199C0DE-0000-7000-8000-00000000000A",
			status: 422, code: invalid, pointer: "/path/id"},
		{name: "id of a path", method: "GET", path: "/v1/jobs/..%2f..%2fetc", status: 422, code: invalid,
			pointer: "/path/id"},
		{name: "odd id, canceled", method: "POST", path: "/v1/jobs/%7B0%7D/cancel", status: 422,
			code: invalid, pointer: "/path/id"},
		{name: "odd id's result", method: "GET", path: "/v1/jobs/%7B0%7D/result", status: 422, code: invalid,
			pointer: "/path/id"},
		{name: "unknown job", method: "GET", path: unknown, status: 404, code: notFound},
		{name: "unknown job, waiting", method: "GET", path: unknown + "?wait=20s", status: 404,
			code: notFound},
		{name: "unknown job, canceled", method: "POST", path: unknown + "/cancel", status: 404,
			code: notFound},
		{name: "unknown job, deleted", method: "DELETE", path: unknown, status: 404, code: notFound},
		{name: "unknown job's result", method: "GET", path: unknown + "/result", status: 404, code: notFound},
		{name: "odd wait", method: "GET", path: unknown + "?wait=forever", status: 422, code: invalid,
			pointer: "?wait"},
		{name: "unknown parameter", method: "GET", path: "/v1/jobs?wiat=1s", status: 422, code: invalid,
			pointer: "?wiat"},
		{name: "malformed query", method: "GET", path: unknown + "?wait=%zz", status: 400, code: invalid},
		{name: "odd cursor", method: "GET", path: "/v1/jobs?cursor=%00", status: 422, code: invalid,
			pointer: "?cursor"},
		{name: "odd limit", method: "GET", path: "/v1/jobs?limit=-1", status: 422, code: invalid,
			pointer: "?limit"},
		{name: "odd ids", method: "GET", path: "/v1/jobs?id=a.b,,&wait=1s", status: 422, code: invalid,
			pointer: "?id"},
		{name: "unknown path", method: "GET", path: "/v2/jobs", status: 404, code: notFound},
		{name: "unknown method", method: "PATCH", path: "/v1/jobs", status: 405, code: httpapi.Unsupported},
		{name: "invented method", method: "BREW", path: "/healthz", status: 405, code: httpapi.Unsupported},

		{name: "unknown type of a file", path: "/v1/jobs/no.such", body: "x", status: 422, code: invalid,
			pointer: "/type"},
		{name: "odd type of a file", path: "/v1/jobs/%7B%0d%0a", body: "x", status: 422, code: invalid,
			pointer: "/type"},
		{name: "unknown field in the query", path: "/v1/jobs/log.analyze?tpo=5", body: "x", status: 422,
			code: invalid, pointer: "?tpo"},
		{name: "wrong field in the query", path: "/v1/jobs/log.analyze?top=many", body: "x", status: 422,
			code: invalid, pointer: "?top"},
		{name: "field in the query twice", path: "/v1/jobs/log.analyze?top=1&top=2", body: "x", status: 422,
			code: invalid, pointer: "?top"},
		{name: "malformed payload in the query", path: "/v1/jobs/log.analyze?payload=%7B", body: "x",
			status: 400, code: invalid},
		{name: "file too large", path: "/v1/jobs/file.checksum", body: strings.Repeat("x", 2<<20),
			status: 413, code: httpapi.TooLarge},
		{name: "form without file", path: "/v1/jobs/file.checksum",
			headers: []string{"Content-Type: multipart/form-data; boundary=b"}, body: "--b--\r\n",
			status: 422, code: invalid},
		{name: "form without boundary", path: "/v1/jobs/file.checksum",
			headers: []string{"Content-Type: multipart/form-data"}, body: "x", status: 400, code: invalid},
	}
}

// TestBadRequests sends what no client should send. Each gets a clear refusal,
// none leaves a job or a file, and the server goes on.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t, "MAX_UPLOAD=1MiB")
	for _, c := range badRequests() {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = "POST"
			}
			if c.path == "" {
				c.path = httpapi.PathJobs
			}
			r := request(t, c.method, url+c.path, strings.NewReader(c.body), c.headers...)
			p := r.problem(t, c.status, c.code)
			if c.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("names %v, want %s", p.Errors, c.pointer)
			}
			if c.status == 405 && r.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if strings.Contains(string(r.body), "goroutine") || strings.Contains(string(r.body), ".go:") {
				t.Errorf("internal text: %s", r.body)
			}
		})
	}
	if r := request(t, "GET", url+httpapi.PathJobs,
		nil); strings.TrimSpace(string(r.body)) != `{"jobs":[],"scanned":0,"complete":true}` {
		t.Errorf("a refused request left a job: %s", r.body)
	}
	if left := in.files(t); len(left) > 0 {
		t.Errorf("a refused request left files: %v", left)
	}
	if said := web.said(`"level":"ERROR"`); len(said) > 0 {
		t.Errorf("server logged errors: %v", said)
	}
}

// TestWaitIsClamped asks for absurd waits: they are cut down, and that is said.
func TestWaitIsClamped(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t, "MAX_WAIT=1s")
	body := `{"type":"math.primes","payload":{"n":1}}` // nobody will run it
	snap := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(body)).snapshot(t)
	for wish, granted := range map[string]string{"876000h": "1s", "99999999999999999999s": "1s", "-5s": "0s",
		"0": "0s", "0.5": "500ms"} {
		r := request(t, "GET", url+httpapi.JobPath(snap.ID)+"?wait="+wish, nil)
		if r.StatusCode != http.StatusOK || r.Header.Get(httpapi.HeaderWait) != granted {
			t.Errorf("wait=%s: %s, granted %q, want %s: %s", wish, r.Status, r.Header.Get(httpapi.HeaderWait),
				granted, r.body)
			continue
		}
		if got := r.snapshot(t); got.State != job.Queued || got.Rev != snap.Rev {
			t.Errorf("wait=%s: %+v", wish, got)
		}
	}
	r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(body), "Prefer: wait=86400")
	if r.StatusCode != http.StatusAccepted || r.Header.Get(httpapi.HeaderPreferenceApplied) != "wait=1" {
		t.Errorf("Prefer: wait=86400: %s, %q", r.Status, r.Header.Get(httpapi.HeaderPreferenceApplied))
	}
}

// TestToken asks an installation with a token: without it only probes are
// answered, and the token is in no log.
func TestToken(t *testing.T) {
	t.Parallel()
	const token = "s3cret-t0ken-0f-thirty-letters"
	in := install(t, "LONGSHORE_TOKEN="+token)
	web, url := in.web(t)
	want, got := map[string]int{}, map[string]int{}
	for _, authorization := range []string{"", "Bearer wrong", "Basic " + token, "Bearer " + token} {
		for _, path := range []string{"/v1/jobs", "/v1/types", "/healthz", "/readyz", "/openapi.json"} {
			r := request(t, "GET", url+path, nil, "Authorization: "+authorization)
			if r.StatusCode == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			key := authorization + " " + path
			got[key], want[key] = r.StatusCode, 200
			if strings.HasPrefix(path, "/v1/") && authorization != "Bearer "+token {
				want[key] = 401
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if said := web.said(token); len(said) > 0 {
		t.Errorf("the token is in the log: %v", said)
	}
}
