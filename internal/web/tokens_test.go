package web_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

// asked makes a token over HTTP.
func (b *bench) asked(by, body string) (made struct{ Token, ID, Job string }) {
	b.Helper()
	r := b.do("POST", httpapi.PathTokens, body, "Authorization", "Bearer "+by, "Content-Type",
		"application/json")
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusCreated {
		b.Fatalf("%s: %d %s", body, r.status, r.body)
	}
	return made
}

// TestMintNoMoreThanMaker refuses tokens that make no sense, and such as have more than who
// makes them.
func TestMintNoMoreThanMaker(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	snap := newSnapshot("running", 5)
	b.put(snap)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:submit", "jobs:read"}, Types: []string{"math.*"}})
	_, numbers := issue(t, g, access.Key{Scopes: []string{"numbers"}})
	page := b.asked(key, `{"jobs":["`+string(snap.ID)+`"]}`).Token
	good := `"types":["math.primes"],"max_bytes":10`
	for body, status := range map[string]int{
		`{}`: 422, `{"jobs":[]}`: 422, `{"jobs":["x"]}`: 422, `{"jobs":["` + string(job.NewID(time.Now())) +
			`"]}`: 422,
		`{"submit":{"types":["math.primes"]}}`: 422, `{"submit":{"types":[],"max_bytes":1}}`: 422,
		`{"submit":{"types":["file.checksum"],"max_bytes":1}}`: 403,
		`{"submit":{"types":["*"],"max_bytes":1}}`:             403,
		`{"submit":{` + good + `},"scopes":["jobs:cancel"]}`:   403, `{"submit":{` + good +
			`},"scopes":["admin"]}`: 422,
		`{"submit":{` + good + `},"ttl":"25h"}`: 422, `{"submit":{` + good + `},"origin":"https://x/y"}`: 422,
		`{"submit":{` + good + `,"with":{"priority":"soon"}}}`: 422, `{"submit":{` + good +
			`,"with":{"run":1}}}`: 422,
		`{"submit":{` + good + `,"payload":[]}}`: 422, `{"submit":{` + good + `,"max_jobs":2}}`: 422,
		`{"subject":"u","jobs":["x"]}`: 422,
	} {
		if r := b.do("POST", httpapi.PathTokens, body, "Authorization", "Bearer "+key, "Content-Type",
			"application/json"); r.status != status {
			t.Errorf("%s: %d %s, want %d", body, r.status, r.body, status)
		}
	}
	for _, by := range []string{page, numbers} {
		b.do("POST", httpapi.PathTokens, `{"submit":{`+good+`}}`, "Authorization", "Bearer "+by,
			"Content-Type", "application/json").
			problem(403, httpapi.Forbidden)
	}
}

// TestPageSubmits holds a page to what its token says, by each way in; a repeat is the same job.
func TestPageSubmits(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:submit", "jobs:read"}})
	token := b.asked(key,
		`{"submit":{"types":["math.*"],"max_bytes":10,"payload":{"n":7},"with":{"priority":"low","timeout":"9s"}},"ttl":"20h"}`)
	as := func(method, path, body string, headers ...string) reply {
		return b.do(method, path, body, append(headers, "Authorization", "Bearer "+token.Token)...)
	}
	for _, body := range []string{`{"type":"file.checksum"}`, `{"type":"no.such"}`,
		`{"type":"math.primes","payload":{"n":8}}`,
		`{"type":"math.primes","priority":"high"}`,
		`{"type":"math.primes","callback_url":"https://a.example/"}`} {
		as("POST", "/v1/jobs", body, "Content-Type", "application/json").problem(403, httpapi.Forbidden)
	}
	as("POST", "/v1/jobs", `{"type":"math.primes"}`, "Content-Type", "application/json", "Longshore-Job",
		string(job.NewID(time.Now()))).
		problem(403, httpapi.Forbidden)
	as("POST", "/v1/jobs", `{"type":"math.primes","input":{"job":"`+string(job.NewID(time.Now()))+`"}}`,
		"Content-Type", "application/json").
		problem(404, httpapi.NotFound)
	as("POST", httpapi.PathBatch, goodLine).problem(403, httpapi.Forbidden)
	as("GET", "/v1/jobs", "").problem(403, httpapi.Forbidden)
	for range 2 {
		r := as("POST", "/v1/jobs", `{"type":"math.primes"}`, "Content-Type", "application/json",
			"Idempotency-Key", "mine")
		if r.status != 202 && r.status != 200 || r.header.Get("Longshore-Job") != token.Job {
			t.Fatalf("%d %s, want job %s", r.status, r.body, token.Job)
		}
	}
	got := b.lastRequest()
	if string(got.Payload) != `{"n":7}` || got.Priority != job.Low || got.Timeout != 9*time.Second ||
		got.MaxBytes != 10 ||
		got.IDUntil.Before(time.Now().Add(19*time.Hour)) || got.IdempotencyKey != "" {
		t.Errorf("submitted %+v", got)
	}
	if r := as("GET", "/v1/jobs/"+token.Job, ""); r.status != 200 {
		t.Errorf("its job: %d", r.status)
	}
	other := newSnapshot("running", 5)
	b.put(other)
	if r := as("GET", "/v1/jobs?id="+string(other.ID)+".0,"+token.Job+".0&wait=9s", ""); r.status != 200 ||
		!strings.Contains(r.body, `"missing":["`+string(other.ID)+`"]`) ||
		!strings.Contains(r.body, token.Job) {
		t.Errorf("of two jobs: %d %s", r.status, r.body)
	}
	if r := as("GET", "/v1/events?id="+string(other.ID)+".0", ""); !strings.Contains(r.body,
		"event: missing") || strings.Contains(r.body, "event: state") {
		t.Errorf("another's events: %d %s", r.status, r.body)
	}
}

// TestTokenInAddress takes a page's token there to read, and nowhere else, and logs it nowhere.
func TestTokenInAddress(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	snap := newSnapshot("succeeded", 5)
	b.put(snap)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:read", "jobs:cancel"}})
	token := b.asked(key, `{"jobs":["`+string(snap.ID)+
		`"],"scopes":["jobs:cancel"],"origin":"https://app.example.com"}`)
	path := "/v1/jobs/" + string(snap.ID)
	if r := b.do("GET", path+"?wait=1ms&access_token="+token.Token, ""); r.status != 200 ||
		r.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.do("HEAD", path+"?access_token="+token.Token, ""); r.status != 200 {
		t.Errorf("HEAD: %d", r.status)
	}
	b.do("DELETE", path+"?access_token="+token.Token, "").problem(400, httpapi.Invalid, "?access_token")
	b.do("POST", path+"/cancel?access_token="+token.Token, "").problem(400, httpapi.Invalid, "?access_token")
	b.do("GET", path+"?access_token="+key, "").problem(401, httpapi.Unauthorized)
	b.do("GET", path, "", "Authorization", "Bearer "+token.Token, "Origin", "https://evil.example").
		problem(403, httpapi.Forbidden)
	if r := b.do("GET", path, "", "Authorization", "Bearer "+token.Token, "Origin",
		"https://app.example.com"); r.status != 200 {
		t.Errorf("its origin: %d", r.status)
	}
	if log := b.log.String(); strings.Contains(log, token.Token) || strings.Contains(log, "access_token") {
		t.Error("the token is in the log")
	}
}

// TestStreamBeforeJob opens a stream of a job that isn't there yet: it waits for it. The token
// ends meanwhile, and the stream says so before and then.
func TestStreamBeforeJob(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	id := job.NewID(time.Now())
	token := b.mint(g, &access.Principal{Scopes: access.JobsRead, Expires: time.Now().Add(4 * time.Second),
		Grant: &access.Grant{Submit: &access.Submit{Job: string(id)}}})
	stream := b.open(httpapi.EventsPath(id)+"?access_token="+token, "Origin", "")
	snap := newSnapshot("running", 1)
	snap.ID = id
	go func() {
		b.eventually("it is looked for", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.reads > 0
		})
		b.put(snap)
	}()
	want := map[string]bool{"state": true, "expiring": true}
	for len(want) > 0 {
		e, ok := stream.next()
		if e.name == "" && ok { // retry, a comment
			continue
		}
		if !want[e.name] {
			t.Fatalf("event %+v", e)
		}
		delete(want, e.name)
	}
	if e, _ := stream.next(); e.name != "unauthorized" || !strings.Contains(e.data, "token_expired") {
		t.Errorf("the end: %+v", e)
	}
	b.do("GET", httpapi.JobPath(id), "", "Authorization", "Bearer "+token).problem(401, httpapi.TokenExpired)
}

// TestSocketRenews goes on by another token of the same maker, and by no other.
func TestSocketRenews(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	one, two := newSnapshot("running", 5), newSnapshot("running", 5)
	b.put(one)
	b.put(two)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:read"}})
	mint := func(by string, ids ...job.ID) struct{ Token, ID, Job string } {
		text, _ := json.Marshal(map[string]any{"jobs": ids})
		return b.asked(by, string(text))
	}
	first := mint(key, one.ID)
	conn := b.socket(&websocket.DialOptions{Subprotocols: []string{"longshore.v1",
		"longshore.bearer." + base64.RawURLEncoding.EncodeToString([]byte(first.Token))}})
	conn.ask("subscribe", job.Rev{ID: one.ID}, job.Rev{ID: two.ID})
	got := map[string]int{}
	for range 2 {
		got[conn.next().Type]++
	}
	if got["state"] != 1 || got["error"] != 1 {
		t.Errorf("got %v, want the state of one and no word of the other", got)
	}
	for _, wrong := range []string{"x", mint(rootToken, two.ID).Token, key} {
		conn.send(`{"type":"token","token":"` + wrong + `"}`)
		conn.errs(httpapi.Unauthorized)
	}
	next := mint(key, two.ID)
	conn.send(`{"type":"token","token":"` + next.Token + `"}`)
	got = map[string]int{}
	for range 2 {
		got[conn.next().Type]++
	}
	if got["token"] != 1 || got["error"] != 1 {
		t.Errorf("got %v, want the new token's end, and that the first job is gone", got)
	}
	if r := b.do("DELETE", httpapi.PathTokens+"/"+first.ID, "", "Authorization",
		"Bearer "+key); r.status != 204 {
		t.Errorf("revoke: %d %s", r.status, r.body)
	}
	conn.ask("subscribe", job.Rev{ID: two.ID}) // the old one's end is none of this socket
	if m := conn.next(); m.Type != "state" {
		t.Errorf("got %+v", m)
	}
	if r := b.do("DELETE", httpapi.PathTokens+"/"+next.ID, "", "Authorization",
		"Bearer "+key); r.status != 204 {
		t.Errorf("revoke: %d %s", r.status, r.body)
	}
	conn.closes(4401)
	b.do("GET", httpapi.JobPath(two.ID), "", "Authorization", "Bearer "+next.Token).
		problem(401, httpapi.Unauthorized)
}

// TestUploadOutlivesToken goes on with an upload after its token's end, not with anything else,
// and not once the token or its maker was revoked.
func TestUploadOutlivesToken(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	id := job.NewID(time.Now())
	grant := &access.Grant{Submit: &access.Submit{Job: string(id), Types: []string{"*"}, MaxBytes: 9}}
	page := func(expired time.Duration) (*access.Principal, string) {
		p := &access.Principal{Scopes: access.JobsSubmit | access.JobsRead, Types: []string{"*"},
			Expires: time.Now().Add(-expired), Grant: grant}
		return p, b.mint(g, p)
	}
	p, ended := page(time.Minute)
	_, gone := page(25 * time.Hour)
	patch := func(token string, id job.ID) reply {
		return b.do("PATCH", httpapi.UploadPath(id), "", "Authorization", "Bearer "+token, "Tus-Resumable",
			"1.0.0", "Upload-Offset", "0")
	}
	if r := patch(ended, id); r.status == 401 || r.status == 404 && strings.Contains(r.body, "no such job") {
		t.Errorf("its upload: %d %s", r.status, r.body)
	}
	patch(gone, id).problem(401, httpapi.TokenExpired)
	patch(ended, job.NewID(time.Now())).problem(404, httpapi.NotFound)
	b.do("POST", httpapi.PathUploads, "", "Authorization", "Bearer "+ended).problem(401, httpapi.TokenExpired)
	b.do("GET", httpapi.JobPath(id), "", "Authorization", "Bearer "+ended).problem(401, httpapi.TokenExpired)
	if r := b.do("DELETE", httpapi.PathTokens+"/"+p.ID, "", "Authorization",
		"Bearer "+rootToken); r.status != 204 {
		t.Fatalf("revoke: %d %s", r.status, r.body)
	}
	b.eventually("a revoked one goes on no more", func() bool { return patch(ended, id).status == 401 })
}

// TestAnyOrigin lets all pages ask a closed installation, never with cookies.
func TestAnyOrigin(t *testing.T) {
	t.Parallel()
	b, _ := gated(t, func(c *web.Config) { c.Origins = []string{"*"} })
	r := b.do("OPTIONS", "/v1/uploads", "", "Origin", "https://a.example", "Access-Control-Request-Method",
		"POST")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "*" ||
		r.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
	r = b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":3}}`, "Origin", "https://a.example",
		"Sec-Fetch-Site", "cross-site", "Content-Type", "application/json", "Authorization",
		"Bearer "+rootToken)
	if r.status != 202 || r.header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "RateLimit") {
		t.Errorf("a page's request: %d %v", r.status, r.header)
	}
	if _, err := web.New(web.Config{Origins: []string{"*"}, Log: nil}, web.Deps{}); err == nil {
		t.Error("an open installation lets all pages in")
	}
}
