package web_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/job"
)

func operations(t testing.TB, b *bench) []op {
	t.Helper()
	var doc document
	if err := json.Unmarshal([]byte(b.do("GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	var ops []op
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if strings.HasPrefix(o.OperationID, "submit-") && o.OperationID != "submit-type" &&
				o.OperationID != "submit-batch" {
				continue // the same route as submit-type
			}
			id, body := walkedID, ""
			switch {
			case o.OperationID == "submit-type":
				id = "math.primes"
			case o.OperationID == "submit":
				body = `{"type":"math.primes"}`
			case o.OperationID == "change-job":
				body = `{"priority":"low"}`
			case strings.HasPrefix(path, httpapi.PathKeys):
				id = "0123456789AB"
			case strings.HasPrefix(path, httpapi.PathTokens):
				id = "root.0123456789AB"
			}
			ops = append(ops,
				op{strings.ToUpper(method), strings.NewReplacer("{id}", id, "{name}", "x").Replace(path),
					o.OperationID, body})
		}
	}
	return ops
}

// TestWalkRoutes asks each route as each kind of principal, and none that isn't in the rules.
func TestWalkRoutes(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	open := setup(t, func(c *web.Config) { c.Gate = newGate(t, "") })
	_, secret := issue(t, g, access.Key{Scopes: []string{"jobs:read"}})
	revoked, revokedKey := issue(t, g, access.Key{Scopes: access.ScopeNames(), Tenant: "*"})
	_, expiredKey := issue(t, g, access.Key{Scopes: access.ScopeNames(), Tenant: "*",
		Expires: time.Now().Add(50 * time.Millisecond)})
	if err := g.Store.Remove(t.Context(), local, revoked.ID); err != nil {
		t.Fatal(err)
	}
	if err := g.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-time.After(60 * time.Millisecond)
	none := map[string]string{ // credentials that let nobody in
		"": "unauthorized", "Bearer": "unauthorized", "Basic cm9vdDpyb290": "unauthorized",
		"Bearer nonsense":      "unauthorized",
		"Bearer " + revokedKey: "unauthorized", "Bearer " + expiredKey: "token_expired",
		"Bearer " + secret[:len(secret)-1] + string(secret[len(secret)-1]^1): "unauthorized",
		"Bearer " + secret[:20]: "unauthorized", "Bearer ls_" + strings.Repeat("0", 12) +
			secret[15:]: "unauthorized",
	}
	keys := map[string]string{}
	for _, scope := range access.ScopeNames() {
		tenant := "default"
		if scope == "functions:deploy" {
			tenant = "*"
		}
		_, keys[scope] = issue(t, g, access.Key{Scopes: []string{scope}, Tenant: tenant})
	}
	const pages = access.JobsSubmit | access.JobsRead | access.JobsCancel | access.JobsRelease
	page := b.mint(g, &access.Principal{Scopes: pages,
		Types: []string{"math.*"},
		Grant: &access.Grant{Jobs: []string{walkedID},
			Submit: &access.Submit{Job: string(job.NewID(time.Now())), Types: []string{"math.*"},
				MaxBytes: 9}}})
	others := b.mint(g, &access.Principal{Scopes: pages,
		Grant: &access.Grant{Jobs: []string{string(job.NewID(time.Now()))}}})
	seen := map[string]bool{}
	for _, o := range operations(t, b) {
		rule, ok := rules[o.name]
		if !ok {
			t.Errorf("%s %s (%s) has no rule", o.method, o.path, o.name)
			continue
		}
		seen[o.name] = true
		in := func(b *bench, credential string) {
			t.Helper()
			if r := b.do(o.method, o.path, o.body, "Authorization", credential, "Content-Type",
				"application/json", "Upload-Metadata", "type bWF0aC5wcmltZXM="); r.status == 401 ||
				r.status == 403 || r.status == 429 || r.status == 500 {
				t.Errorf("%s as %.14s…: %d %s", o.name, credential, r.status, r.body)
			}
		}
		in(open, "")
		in(b, "Bearer "+rootToken)
		for credential, code := range none {
			if rule.scope == "" {
				in(b, credential)
				continue
			}
			r := b.do(o.method, o.path, "", "Authorization", credential)
			if r.status == 429 && credential != "" { // as those before it
				continue
			}
			if o.method != "HEAD" {
				r.problem(401, httpapi.Code(code))
			}
			if got := r.header.Get("WWW-Authenticate"); r.status != 401 ||
				!strings.HasPrefix(got, `Bearer realm="longshore"`) {
				t.Errorf("%s as %.14s…: %d, WWW-Authenticate %q", o.name, credential, r.status, got)
			}
		}
		switch {
		case rule.scope == "" || rule.pages:
			in(b, "Bearer "+page)
		default:
			b.do(o.method, o.path, o.body, "Authorization", "Bearer "+page, "Content-Type",
				"application/json").problem(403, httpapi.Forbidden)
		}
		if strings.Contains(o.path, walkedID) && rule.pages && o.method != "OPTIONS" {
			r := b.do(o.method, o.path, "", "Authorization", "Bearer "+others)
			if r.status != 404 || o.method != "HEAD" &&
				r.body != b.do("GET", "/v1/jobs/"+string(job.NewID(time.Now())), "", "Authorization",
					"Bearer "+rootToken).body {
				t.Errorf("%s of another's job: %d %s", o.name, r.status, r.body)
			}
		}
		for scope, key := range keys {
			if o.name == "revoke-token" { // it is root's
				b.do(o.method, o.path, "", "Authorization", "Bearer "+key).problem(403, httpapi.Forbidden)
				continue
			}
			if rule.scope == "" || rule.scope == "known" || rule.scope == scope ||
				scope == "operate" && rule.scope == "jobs:release" {
				in(b, "Bearer "+key)
				continue
			}
			r := b.do(o.method, o.path, "", "Authorization", "Bearer "+key)
			if o.method != "HEAD" {
				r.problem(403, httpapi.Forbidden)
			}
			if want := `scope="` + rule.scope + `"`; r.status != 403 ||
				!strings.Contains(r.header.Get("WWW-Authenticate"), want) {
				t.Errorf("%s with %s: %d, WWW-Authenticate %q lacks %s", o.name, scope, r.status,
					r.header.Get("WWW-Authenticate"), want)
			}
		}
	}
	for name := range maps.Keys(rules) {
		if !seen[name] {
			t.Errorf("rule %s is of no route", name)
		}
	}
	for _, key := range append(slices.Collect(maps.Values(keys)), secret, revokedKey, expiredKey, rootToken) {
		if strings.Contains(b.log.String(), key) {
			t.Error("a credential is in the log")
		}
	}
}
