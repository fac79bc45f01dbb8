package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A caller is somebody of the walk: a credential, and whose jobs he sees.
type caller struct {
	name, credential string
	tenant           string // header Longshore-Tenant
	sees             []access.Owner
	makes            access.Owner // whose the jobs are that he submits
}

// Owners of the walk's jobs.
var (
	nobody = access.Owner{}
	acme   = access.Owner{Tenant: "acme"}
	ann    = access.Owner{Tenant: "acme", Subject: "ann"}
	bob    = access.Owner{Tenant: "acme", Subject: "bob"}
	other  = access.Owner{Tenant: "other"}
)

func callers(t *testing.T, b *bench, g *testGate) []caller {
	t.Helper()
	key := func(tenant, subject string, scopes ...string) string {
		_, secret := issue(t, g, access.Key{Tenant: tenant, Subject: subject,
			Scopes: append(scopes, "jobs:submit", "jobs:read", "jobs:cancel", "jobs:release",
				"numbers")})
		return secret
	}
	page := func(by, body string) string {
		t.Helper()
		r := b.do("POST", httpapi.PathTokens, body, "Authorization", "Bearer "+by)
		var made struct{ Token string }
		if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusCreated {
			t.Fatalf("mint: %d %s", r.status, r.body)
		}
		return made.Token
	}
	everybody, ofAcme := []access.Owner{nobody, acme, ann, bob, other}, []access.Owner{acme, ann, bob}
	backend := key("acme", "", "jobs:all")
	return []caller{
		{"root", rootToken, "", everybody, nobody},
		{"root for acme", rootToken, "acme", ofAcme, acme},
		{"key of *", key("*", ""), "", everybody, nobody},
		{"key of default", key("default", ""), "", []access.Owner{nobody}, nobody},
		{"key of acme", backend, "", ofAcme, acme},
		{"key of ann", key("acme", "ann"), "", []access.Owner{ann}, ann},
		{"key of bob with jobs:all", key("acme", "bob", "jobs:all"), "", ofAcme, bob},
		{"page of ann", page(backend, `{"subject":"ann","scopes":["jobs:cancel","jobs:release"]}`), "",
			[]access.Owner{ann}, ann},
		{"key of nobody's tenant", key("empty", ""), "", nil, access.Owner{Tenant: "empty"}},
	}
}

// TestWalkTenants asks each route about a job of each of some owners, as each of some callers: what isn't
// one's own is as if it were not there.
func TestWalkTenants(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	all := callers(t, b, g)
	ops := operations(t, b)
	for i, o := range []access.Owner{nobody, acme, ann, bob, other} {
		id := job.NewID(time.Now().Add(time.Duration(i) * time.Millisecond))
		snap := job.Snapshot{ID: id, Type: "math.primes", State: job.Succeeded, Rev: 3, Lane: job.LaneCPU,
			Result: json.RawMessage(`{}`), Subject: o.Subject, Tenant: o.Tenant}
		for _, c := range all {
			as := func(method, path, body string) reply {
				headers := []string{"Authorization", "Bearer " + c.credential, "Content-Type",
					"application/json"}
				if c.tenant != "" {
					headers = append(headers, httpapi.HeaderTenant, c.tenant)
				}
				return b.do(method, path, body, headers...)
			}
			absent := as("GET", "/v1/jobs/"+string(job.NewID(time.Now())), "").body
			for _, op := range ops {
				rule := rules[op.name]
				if rule.whose == "" {
					t.Errorf("%s: no rule says whose its jobs are", op.name)
				}
				if c.name[:4] == "page" && !rule.pages && rule.whose != everyoneLists {
					continue
				}
				b.put(snap)
				sees, what := slices.Contains(c.sees, o), fmt.Sprintf("%s of a job of %v as %s", op.name, o,
					c.name)
				switch rule.whose {
				case aJob:
					r := as(op.method, strings.Replace(op.path, walkedID, string(id), 1), op.body)
					switch {
					case strings.Contains(op.path, httpapi.PathUploads) && c.name[:4] == "page":
						if r.status != 404 && r.status != 403 { // an upload is whose token began it
							t.Errorf("%s: %d", what, r.status)
						}
					case sees == (r.status == 404 && (op.method == "HEAD" || sameProblem(r.body, absent) ||
						strings.Contains(op.path, httpapi.PathUploads))) && op.name != "override-upload":
						t.Errorf("%s: %d %s, seen %v", what, r.status, r.body, sees)
					}
					b.mu.Lock()
					if now, there := b.jobs[id]; !sees && (!there || now.Rev != snap.Rev) {
						t.Errorf("%s: it has changed", what)
					}
					b.mu.Unlock()
				case everyoneLists:
					r := as("GET", httpapi.PathJobs, "")
					if sees != strings.Contains(r.body, string(id)) || r.status != 200 {
						t.Errorf("%s: %d %s, seen %v", what, r.status, r.body, sees)
					}
				case someIDs:
					switch op.name {
					case "events":
						r := as("GET", httpapi.PathEvents+"?id="+string(id), "")
						if sees != strings.Contains(r.body, "event: state") ||
							sees == strings.Contains(r.body,
								"event: missing") {
							t.Errorf("%s: %s", what, r.body)
						}
						r = as("GET", httpapi.PathJobs+"?wait=5s&id="+string(id), "")
						if sees == strings.Contains(r.body, "missing") ||
							sees != strings.Contains(r.body, "succeeded") {
							t.Errorf("%s, a long-poll: %s", what, r.body)
						}
					case "create-token":
						if c.name[:4] == "page" {
							continue
						}
						r := as("POST", httpapi.PathTokens, `{"jobs":["`+string(id)+`"]}`)
						if sees != (r.status == 201) {
							t.Errorf("%s: %d %s", what, r.status, r.body)
						}
					case "socket":
						sock := b.socket(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {
							"Bearer " + c.credential}, httpapi.HeaderTenant: nonEmpty(c.tenant)}})
						sock.subscribe(job.Rev{ID: id})
						if m := sock.next(); sees != (m.Type == "state") || !sees &&
							m.Code != httpapi.NotFound {
							t.Errorf("%s: %+v", what, m)
						}
						sock.conn.CloseNow()
					}
				}
			}
			b.mu.Lock()
			delete(b.jobs, id)
			b.mu.Unlock()
		}
	}
	for _, c := range all {
		if c.name[:4] == "page" {
			continue
		}
		headers := []string{"Authorization", "Bearer " + c.credential}
		if c.tenant != "" {
			headers = append(headers, httpapi.HeaderTenant, c.tenant)
		}
		snap := b.do("POST", httpapi.PathJobs, `{"type":"math.primes","payload":{"n":100}}`, headers...).
			snapshot()
		if (access.Owner{Tenant: snap.Tenant, Subject: snap.Subject}) != c.makes {
			t.Errorf("what %s submits is of %q %q, want %v", c.name, snap.Tenant, snap.Subject, c.makes)
		}
	}
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// sameProblem reports whether two problems say the same.
func sameProblem(a, b string) bool {
	var one, two map[string]any
	if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &two) != nil {
		return false
	}
	return one["detail"] == two["detail"] && one["code"] == two["code"]
}

// TestTenantHeader is for who has the whole installation, and names one tenant.
func TestTenantHeader(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, key := issue(t, g, access.Key{Tenant: "acme", Scopes: []string{"jobs:read", "jobs:submit"}})
	ask := func(credential, path string, headers ...string) reply {
		return b.do("GET", path, "", append(headers, "Authorization", "Bearer "+credential)...)
	}
	ask(key, "/v1/jobs", httpapi.HeaderTenant, "other").problem(403, httpapi.Forbidden)
	ask(key, "/v1/jobs?tenant=other").problem(403, httpapi.Forbidden)
	if r := ask(key, "/v1/jobs?tenant=acme", httpapi.HeaderTenant, "acme"); r.status != 200 {
		t.Errorf("its own: %d %s", r.status, r.body)
	}
	for _, name := range []string{"", "*", "-a", "a b", strings.Repeat("a", 49), "a/b"} {
		ask(rootToken, "/v1/jobs", httpapi.HeaderTenant, name).problem(422, httpapi.Invalid,
			"/headers/"+httpapi.HeaderTenant)
	}
	ask(rootToken, "/v1/jobs?tenant=b", httpapi.HeaderTenant, "a").problem(422, httpapi.Invalid, "?tenant")
	ask(rootToken, "/v1/jobs", httpapi.HeaderTenant, "a", httpapi.HeaderTenant, "b").problem(422,
		httpapi.Invalid)
	// A page doesn't choose the tenant of what it submits.
	r := b.do("POST", httpapi.PathTokens, `{"submit":{"types":["math.*"],"max_bytes":9}}`, "Authorization",
		"Bearer "+rootToken, httpapi.HeaderTenant, "acme")
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil {
		t.Fatal(r.body)
	}
	b.do("POST", httpapi.PathJobs, `{"type":"math.primes"}`, "Authorization", "Bearer "+made.Token,
		httpapi.HeaderTenant, "other").problem(403, httpapi.Forbidden)
	if snap := b.do("POST", httpapi.PathJobs, `{"type":"math.primes","payload":{"n":9}}`, "Authorization",
		"Bearer "+made.Token).snapshot(); snap.Tenant != "acme" {
		t.Errorf("a page of acme submits for %q", snap.Tenant)
	}
}

// TestSubjectsNeedLess has nobody get more by a subject: neither key nor token.
func TestSubjectsNeedLess(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	_, key := issue(t, g, access.Key{Tenant: "acme", Subject: "ann",
		Scopes: []string{"admin", "jobs:read", "jobs:submit"}})
	as := func(path, body string) reply {
		return b.do("POST", path, body, "Authorization", "Bearer "+key)
	}
	for path, body := range map[string]string{
		httpapi.PathTokens: `{"subject":"bob"}`,
		httpapi.PathKeys:   `{"name":"a","tenant":"acme","subject":"bob","scopes":["jobs:read"]}`,
	} {
		as(path, body).problem(403, httpapi.Forbidden)
	}
	as(httpapi.PathKeys, `{"name":"a","tenant":"acme","scopes":["jobs:read"]}`).
		problem(403, httpapi.Forbidden)
	as(httpapi.PathTokens, `{"subject":"ann","jobs":["`+walkedID+`"]}`).problem(422, httpapi.Invalid,
		"/subject")
	if r := as(httpapi.PathTokens, `{"subject":"ann"}`); r.status != 201 {
		t.Errorf("one's own: %d %s", r.status, r.body)
	}
	b.do("POST", httpapi.PathKeys, `{"name":"a","tenant":"*","subject":"ann","scopes":["jobs:read"]}`,
		"Authorization", "Bearer "+rootToken).problem(422, httpapi.Invalid, "/subject")
}
