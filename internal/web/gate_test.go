package web_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/access"
	"longshore/internal/access/gate"
	accessstore "longshore/internal/access/store"
	"longshore/internal/access/token"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/internal/web"
	"longshore/internal/web/api"
	"longshore/internal/web/edge"
)

// keptIn is where the keys of a gate are, and what makes its tokens; nil, where a test's
// server has none.
func keptIn(g edge.Gate) (api.KeyStore, api.Minter) {
	if g, ok := g.(*testGate); ok {
		return g.Store, g.own
	}
	return nil, nil
}

type testGate struct {
	*gate.Gate
	own    *token.Own
	prefix string // of its keys in Redis
}

// newGate runs a gate over access data of its own, closed by a token; "" = open.
func newGate(t testing.TB, root string) *testGate {
	t.Helper()
	prefix := redistest.Prefix(t)
	s := accessstore.New(redistest.Client(t), prefix)
	own, err := token.NewOwn("test", nil, s)
	if err != nil {
		t.Fatal(err)
	}
	g := &testGate{gate.New(gate.Config{Store: s, Root: root, Closed: root != "",
		Verifier: token.Verifier{Own: own},
		Reload:   own.Reload, Log: slog.New(slog.DiscardHandler)}), own, prefix}
	if err := g.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = g.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return g
}

const rootToken = "root-token-0123456789abcdef"

// local is who makes keys by the command line.
var local = accessstore.Local(nil)

// issue makes a key and returns it.
func issue(t testing.TB, g *testGate, k access.Key) (access.Key, string) {
	t.Helper()
	if k.Name == "" {
		k.Name = "test"
	}
	if k.Tenant == "" {
		k.Tenant = access.DefaultTenant
	}
	k, secret, err := g.Store.Issue(t.Context(), local, k)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

func gated(t testing.TB, change ...func(*web.Config)) (*bench, *testGate) {
	g := newGate(t, rootToken)
	own := func(c *web.Config) { c.Gate, c.Token = g, rootToken }
	return setup(t, append([]func(*web.Config){own}, change...)...), g
}

// A rule is who may use a route: scope "" = anybody, "known" = all but pages.
type rule struct {
	scope string
	pages bool // a page's token with the scope may
	whose whose
}

// whose is how a route is bounded by tenant and subject.
type whose string

const (
	shared        whose = "shared" // the same for all of a scope: types, numbers of the whole, the API itself
	aJob          whose = "job"    // its path's id is a job's, or an upload's: another's is 404
	someIDs       whose = "ids"    // it names jobs: others' are missing
	everyoneLists whose = "lists"  // it lists jobs: one's own
	makes         whose = "makes"  // it makes jobs: one's own
	keeps         whose = "keeps"  // access data: the tenant's own, TestKeysOfTenants
	ofClaims      whose = "claims" // by a claim, and a tenant: TestClaimsOfTenants of e2e
)

// rules are those of all routes, by their names. A new route is put here on purpose.
var rules = map[string]rule{
	"health": {"", true, shared}, "ready": {"", true, shared}, "openapi": {"", true, shared},
	"submit": {"jobs:submit", true, makes}, "submit-type": {"jobs:submit", true, makes},
	"open-batch": {"jobs:submit", false, makes}, "close-batch": {"jobs:submit", false, aJob},
	"list-batch-jobs": {"jobs:read", false, aJob},
	"submit-batch":    {"jobs:submit", false, makes}, "create-upload": {"jobs:submit", true, makes},
	"describe-uploads": {"jobs:submit", true, shared}, "describe-upload": {"jobs:submit", true, shared},
	"get-upload": {"jobs:submit", true, aJob}, "append-upload": {"jobs:submit", true, aJob},
	"sign-upload-parts": {"jobs:submit", true, aJob}, "complete-upload": {"jobs:submit", true, aJob},
	"delete-upload": {"jobs:submit", true, aJob}, "override-upload": {"jobs:submit", true, aJob},
	"list-jobs": {"jobs:read", false, everyoneLists}, "get-job": {"jobs:read", true, aJob},
	"get-callback": {"jobs:read", true, aJob}, "get-result": {"jobs:read", true, aJob},
	"get-output": {"jobs:read", true, aJob}, "job-events": {"jobs:read", true, aJob},
	"events": {"jobs:read", true, someIDs}, "socket": {"jobs:read", true, someIDs},
	"list-types": {"jobs:read", true, shared},
	"delete-job": {"jobs:cancel", true, aJob}, "cancel-job": {"jobs:cancel", true, aJob},
	"release-job":     {"jobs:release", true, aJob},
	"resend-callback": {"jobs:cancel", false, aJob},
	"change-job":      {"jobs:cancel", false, aJob},
	"retry-job":       {"jobs:cancel", false, aJob}, "list-queues": {"numbers", false, shared},
	"list-keys": {"admin", false, keeps}, "create-key": {"admin", false, keeps},
	"rotate-key": {"admin", false, keeps}, "delete-key": {"admin", false, keeps},
	"audit": {"admin", false, keeps}, "create-token": {"known", false, someIDs},
	"revoke-token":  {"known", false, keeps},
	"list-sessions": {"known", false, keeps}, "end-session": {"known", false, keeps},
	"function-schema": {"", true, shared},
	"list-functions":  {"functions:deploy", false, shared}, "get-function": {"functions:deploy", false,
		shared},
	"deploy-function":   {"functions:deploy", false, shared},
	"rollback-function": {"functions:deploy", false, shared},
	"remove-function":   {"functions:deploy", false, shared},
	"put-type":          {"functions:deploy", false, shared}, "remove-type": {"functions:deploy", false, shared},
	"claim-jobs": {"jobs:work", false, ofClaims}, "renew-claims": {"jobs:work", false, ofClaims},
	"finish-claims": {"jobs:work", false, ofClaims}, "stop-claims": {"jobs:work", false, ofClaims},
	"get-claimed-input": {"jobs:work", false, ofClaims}, "put-claimed-output": {"jobs:work", false, ofClaims},
}

// An op is a route of the document, with a path and a body that can be asked.
type op struct{ method, path, name, body string }

const walkedID = "01a20967-50f3-73e0-89b5-4af387a3557a"

// mint makes a page's token.
func (b *bench) mint(g *testGate, p *access.Principal) string {
	b.Helper()
	p.Kind, p.Tenant, p.ID, p.Grant.Maker = access.KindToken, access.DefaultTenant, "root."+access.DrawID(),
		"root"
	if p.Expires.IsZero() {
		p.Expires = time.Now().Add(time.Minute)
	}
	text, err := g.own.Mint(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// TestTwoCredentials are refused, wherever they stand.
func TestTwoCredentials(t *testing.T) {
	t.Parallel()
	b, _ := gated(t)
	bearer, protocol := "Bearer "+rootToken, "longshore.bearer.cm9vdC10b2tlbi0wMTIzNDU2Nzg5YWJjZGVm"
	for _, headers := range [][]string{
		{"Authorization", bearer, "Authorization", bearer},
		{"Authorization", bearer, "Authorization", "Bearer other"},
		{"Authorization", bearer, "Sec-WebSocket-Protocol", "longshore.v1, " + protocol},
		{"Sec-WebSocket-Protocol", protocol + ", " + protocol},
		{"Sec-WebSocket-Protocol", protocol, "Sec-WebSocket-Protocol", protocol},
	} {
		b.do("GET", httpapi.PathSocket, "", headers...).problem(400, httpapi.Invalid)
	}
	b.do("GET", "/v1/jobs/x?access_token=y", "", "Authorization", bearer).problem(400, httpapi.Invalid)
	b.do("GET", "/v1/jobs/x?access_token=y&access_token=z", "").problem(400, httpapi.Invalid)
	b.do("POST", "/v1/jobs?access_token=y", `{}`, "Authorization", bearer).problem(400, httpapi.Invalid,
		"?access_token")
	// Root and keys go into no address.
	b.do("GET", "/v1/jobs?access_token="+rootToken, "").problem(401, httpapi.Unauthorized)
	if strings.Contains(b.log.String(), rootToken) {
		t.Error("a credential is in the log")
	}
}

// TestKeysOverHTTP makes a key by a key, rotates and deletes it; none gets more than its maker.
func TestKeysOverHTTP(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, admin := issue(t, g, access.Key{Scopes: []string{"admin", "jobs:read", "jobs:submit"},
		Types: []string{"image.*", "math.primes"}})
	as := func(key, method, path, body string) reply {
		return b.do(method, path, body, "Authorization", "Bearer "+key, "Content-Type", "application/json")
	}
	for body, status := range map[string]int{
		`{"name":"a","scopes":["jobs:cancel"],"types":["math.primes"]}`: 403,
		`{"name":"a","scopes":["jobs:read"],"types":["math.*"]}`:        403,
		// all types
		`{"name":"a","scopes":["jobs:read"]}`:                                                              403,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"tenant":"*"}`:                        403,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"tenant":"shop"}`:                     403,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"subject":"u\u0000"}`:                 422,
		`{"name":"a","scopes":["jobs:write"],"types":["image.resize"]}`:                                    422,
		`{"name":"a","scopes":[],"types":["image.resize"]}`:                                                422,
		`{"name":"","scopes":["jobs:read"],"types":["image.resize"]}`:                                      422,
		`{"name":"a\u001b[2J","scopes":["jobs:read"],"types":["image.resize"]}`:                            422,
		`{"Name":"a","scopes":["jobs:read"],"types":["image.resize"]}`:                                     422,
		`{"name":"a","scopes":["jobs:read"],"types":["[a"]}`:                                               422,
		`{"name":"a","name":"b","scopes":["jobs:read"]}`:                                                   400,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"rate":{}}`:                           422,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"rate":{"n":1,"per":1,"burst":1}}`:    422,
		`{"name":"a","scopes":["jobs:read"],"types":["image.resize"],"expires_at":"2020-01-01T00:00:00Z"}`: 422,
		`{"name":7}`: 422, `[]`: 422, ``: 400,
	} {
		if r := as(admin, "POST", httpapi.PathKeys, body); r.status != status {
			t.Errorf("%s: %d %s, want %d", body, r.status, r.body, status)
		}
	}
	r := as(admin, "POST", httpapi.PathKeys,
		`{"name":"pages","scopes":["jobs:read"],"types":["image.resize"],"rate":{"n":100,"per":"1m","burst":10}}`)
	var made struct{ ID, Key, Tenant string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusCreated ||
		made.Tenant != "default" {
		t.Fatalf("create: %d %s", r.status, r.body)
	}
	look := func(key string, status int) {
		t.Helper()
		if r := as(key, "GET", "/v1/types", ""); r.status != status {
			t.Errorf("with the key: %d %s, want %d", r.status, r.body, status)
		}
	}
	look(made.Key, 200)
	if r := as(made.Key, "GET", "/v1/types", ""); strings.Contains(r.body, "math.primes") ||
		!strings.Contains(r.body, "image.resize") {
		t.Errorf("types that the key may not submit: %s", r.body)
	}
	if r := as(admin, "GET", httpapi.PathKeys, ""); !strings.Contains(r.body, made.ID) ||
		strings.Contains(r.body, made.Key) || strings.Contains(r.body, access.Hash(made.Key)) {
		t.Errorf("list: %s", r.body)
	}
	r = as(admin, "POST", httpapi.PathKeys+"/"+made.ID+"/rotate", `{"keep":"1h"}`)
	var rotated struct{ Key string }
	if err := json.Unmarshal([]byte(r.body), &rotated); err != nil || r.status != 200 ||
		rotated.Key == made.Key {
		t.Fatalf("rotate: %d %s", r.status, r.body)
	}
	look(made.Key, 200)
	look(rotated.Key, 200)
	as(admin, "POST", httpapi.PathKeys+"/"+made.ID+"/rotate", `{"keep":"721h"}`).problem(422, httpapi.Invalid,
		"/keep")
	if r = as(admin, "POST", httpapi.PathKeys+"/"+made.ID+"/rotate", ``); r.status != 200 {
		t.Fatalf("rotate at once: %d %s", r.status, r.body)
	}
	b.eventually("the secrets before the last rotation end", func() bool {
		g.Notify()
		return as(rotated.Key, "GET", "/v1/types", "").status == 401 && as(made.Key, "GET", "/v1/types", "").
			status == 401
	})
	as(admin, "DELETE", httpapi.PathKeys+"/nothing", "").problem(422, httpapi.Invalid, "/path/id")
	as(admin, "DELETE", httpapi.PathKeys+"/0123456789AB", "").problem(404, httpapi.NotFound)
	// An admin of one tenant sees no key of the installation.
	wide, _ := issue(t, g, access.Key{Scopes: []string{"admin"}, Tenant: "*"})
	for _, path := range []string{"/" + wide.ID + "/rotate", "/" + wide.ID} {
		method := map[bool]string{true: "POST", false: "DELETE"}[strings.HasSuffix(path, "rotate")]
		as(admin, method, httpapi.PathKeys+path, "").problem(404, httpapi.NotFound)
	}
	if r := as(rootToken, "DELETE", httpapi.PathKeys+"/"+made.ID, ""); r.status != 204 {
		t.Errorf("delete: %d %s", r.status, r.body)
	}
	if r := as(rootToken, "GET", httpapi.PathAudit, ""); r.status != 200 ||
		strings.Count(r.body, `"keys.rotate"`) != 2 || !strings.Contains(r.body, `"target":"key:`+made.ID) {
		t.Errorf("audit: %d %s", r.status, r.body)
	}
	if strings.Count(b.log.String(), `"msg":"audit"`) < 4 {
		t.Error("the log lacks what was done")
	}
}

// TestTypesOfKey holds a key to its types by each way in, types that there aren't included.
func TestTypesOfKey(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:submit", "jobs:read", "jobs:cancel"},
		Types: []string{"math.*"}})
	as := func(method, path, body string, headers ...string) reply {
		return b.do(method, path, body, append(headers, "Authorization", "Bearer "+key)...)
	}
	for _, typ := range []string{"file.checksum", "no.such"} {
		as("POST", "/v1/jobs", `{"type":"`+typ+`"}`, "Content-Type", "application/json").
			problem(403, httpapi.Forbidden)
		as("POST", "/v1/jobs/"+typ, "x").problem(403, httpapi.Forbidden)
		r := as("POST", httpapi.PathBatch, `{"type":"`+typ+`"}`+"\n"+goodLine)
		if lines := strings.Split(r.body, "\n"); !strings.Contains(lines[0], `"status":403`) ||
			!strings.Contains(lines[1], `"created":true`) {
			t.Errorf("batch: %s", r.body)
		}
		as("POST", httpapi.PathUploads, "", "Tus-Resumable", "1.0.0", "Upload-Length", "1", "Upload-Metadata",
			"type "+base64.StdEncoding.EncodeToString([]byte(typ))).
			problem(403, httpapi.Forbidden)
	}
	if r := as("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":3}}`, "Content-Type",
		"application/json"); r.status != 202 {
		t.Errorf("its own: %d %s", r.status, r.body)
	}
	snap := newSnapshot("succeeded", 3)
	snap.Type = "file.checksum"
	b.put(snap)
	as("POST", httpapi.RetryPath(snap.ID), "").problem(403, httpapi.Forbidden)
}

// TestRevocationEndsWaits deletes a key by which polls, a stream, a socket and an upload are
// under way: each is told so within 5 s.
func TestRevocationEndsWaits(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	k, key := issue(t, g, access.Key{Scopes: []string{"jobs:read", "jobs:submit"}})
	snap := newSnapshot("running", 5)
	b.put(snap)
	b.token = key
	type end struct{ what, how string }
	ends := make(chan end, 4)
	poll := func(path string) {
		r := b.do("GET", path, "")
		ends <- end{path, fmt.Sprint(r.status)}
	}
	go poll(httpapi.JobPath(snap.ID) + "?wait=20s")
	go poll("/v1/jobs?wait=20s&id=" + string(snap.ID) + ".5")
	go func() {
		r := b.do("GET", httpapi.EventsPath(snap.ID), "")
		ends <- end{"stream", fmt.Sprint(r.status, strings.Contains(r.body, "event: unauthorized"))}
	}()
	conn := b.socket(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
	b.eventually("all wait", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.waited >= 2 && b.reads >= 1
	})
	if err := g.Store.Remove(t.Context(), local, k.ID); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	want := map[string]string{"stream": "200 true"}
	for range 3 {
		e := <-ends
		if e.how != want[e.what] && e.how != "401" {
			t.Errorf("%s ended by %s", e.what, e.how)
		}
	}
	conn.closes(4401)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	b.do("GET", "/v1/types", "").problem(401, httpapi.Unauthorized)
}

// TestRates limits a key over two servers that share Redis, with the headers for it.
func TestRates(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, key := issue(t, g, access.Key{Scopes: []string{"jobs:read", "jobs:submit"},
		Rate: access.Rate{N: 5, Per: time.Hour, Burst: 5}})
	other := gate.New(gate.Config{Store: g.Store, Root: rootToken, Closed: true,
		Log: slog.New(slog.DiscardHandler)})
	if err := other.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := setup(t, func(c *web.Config) { c.Gate, c.Token = other, rootToken })
	got := map[int]int{}
	for i := range 10 {
		r := []*bench{b, second}[i%2].do("GET", "/v1/types", "", "Authorization", "Bearer "+key)
		got[r.status]++
		if policy := r.header.Get("RateLimit-Policy"); policy != `"key";q=5;w=3600` {
			t.Errorf("RateLimit-Policy %q", policy)
		}
		if r.status == 429 {
			r.problem(429, httpapi.RateLimited)
			if r.header.Get("Retry-After") == "" || !strings.HasPrefix(r.header.Get("RateLimit"),
				`"key";r=0;t=`) {
				t.Errorf("429 with %v", r.header)
			}
		}
	}
	if got[200] != 5 || got[429] != 5 {
		t.Errorf("statuses %v, want 5 of each", got)
	}
	r := b.do("POST", httpapi.PathUploads, "", "Authorization", "Bearer "+key)
	r.problem(503, httpapi.RateLimited)
	if r := b.do("GET", "/v1/types", "", "Authorization", "Bearer "+rootToken); r.status != 200 ||
		r.header.Get("RateLimit") != "" {
		t.Errorf("root: %d %v", r.status, r.header)
	}
}

// TestOpenJudgesKeys holds that an installation without a token takes no notice of tokens of
// others, and judges keys of its own.
func TestOpenJudgesKeys(t *testing.T) {
	t.Parallel()
	g := newGate(t, "")
	b := setup(t, func(c *web.Config) { c.Gate = g })
	_, key := issue(t, g, access.Key{Scopes: []string{"numbers"}})
	for credential, status := range map[string]int{
		"": 200, "Bearer x": 200, "Basic x": 200, "Bearer " + key: 403, "Bearer " + key[:len(key)-2]: 401,
	} {
		if r := b.do("GET", "/v1/types", "", "Authorization", credential); r.status != status {
			t.Errorf("%.14s: %d, want %d", credential, r.status, status)
		}
	}
	if r := b.do("GET", "/v1/types?access_token=x", ""); r.status != 422 {
		t.Errorf("a parameter that means nothing here: %d", r.status)
	}
}
