package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// TestKeysOfTenants holds that access data is the tenant's own: lists, rotations, deletions and the audit
// log of each know nothing of another's, and * of all.
func TestKeysOfTenants(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	admins, ids := map[string]string{}, map[string]string{}
	for _, tenant := range []string{"acme", "other", "default", "*"} {
		k, secret := issue(t, g, access.Key{Scopes: []string{"admin", "jobs:read"}, Tenant: tenant})
		admins[tenant], ids[tenant] = secret, k.ID
	}
	as := func(tenant, method, path, body string) reply {
		return b.do(method, path, body, "Authorization", "Bearer "+admins[tenant], "Content-Type",
			"application/json")
	}
	absent := as("acme", "DELETE", httpapi.PathKeys+"/000000000000", "").body
	for who := range admins {
		for whose, id := range ids {
			sees := who == "*" || who == whose
			if list := as(who, "GET", httpapi.PathKeys, "").body; strings.Contains(list, id) != sees {
				t.Errorf("%s sees the key of %s: %v", who, whose, !sees)
			}
			r := as(who, "POST", httpapi.PathKeys+"/"+id+"/rotate", `{"keep":"1h"}`)
			if (r.status == 200) != sees || !sees && !sameProblem(r.body, absent) {
				t.Errorf("%s rotates the key of %s: %d %s", who, whose, r.status, r.body)
			}
			if sees { // the secret before ends, and may not give what ends later
				var k struct{ Key string }
				if err := json.Unmarshal([]byte(r.body), &k); err != nil || k.Key == "" {
					t.Fatalf("%s: no key in %s", who, r.body)
				}
				admins[whose] = k.Key
				continue
			}
			if r := as(who, "DELETE", httpapi.PathKeys+"/"+id, ""); !sameProblem(r.body, absent) {
				t.Errorf("%s deletes the key of %s: %d %s", who, whose, r.status, r.body)
			}
		}
	}
	// Each makes a key for its own; the log says so to it and to *.
	made := map[string]string{}
	for who := range admins {
		r := as(who, "POST", httpapi.PathKeys, `{"name":"n","tenant":"`+who+`","scopes":["jobs:read"]}`)
		var k struct{ ID string }
		if err := json.Unmarshal([]byte(r.body), &k); err != nil || r.status != 201 {
			t.Fatalf("%s: %d %s", who, r.status, r.body)
		}
		made[who] = k.ID
	}
	for who := range admins {
		log := as(who, "GET", httpapi.PathAudit, "").body
		for whose, id := range made {
			if sees := who == "*" || who == whose; strings.Contains(log, id) != sees {
				t.Errorf("%s reads what %s did: %v", who, whose, !sees)
			}
		}
	}
}

// TestWalkSessions asks each route as a person of each role, of one tenant and of all: what the role gives,
// and no more; nothing at all from a page that isn't ours.
func TestWalkSessions(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ops := operations(t, w.bench)
	for _, role := range access.Roles() {
		for _, tenant := range []string{"acme", "*"} {
			for _, o := range ops {
				rule := rules[o.name]
				scope, known := access.ParseScope(rule.scope)
				wide := rule.scope == "functions:deploy" || o.name == "revoke-token"
				may := rule.scope == "" || rule.scope == "known" || known && role.Scopes().Full().Has(scope)
				if wide && (tenant != "*" || role != access.Administrator) {
					may = false
				}
				_, br := w.signIn(role, tenant)
				ask := func(from ...string) reply {
					return w.do(o.method, o.path, o.body, append(from, "Authorization", "", "Content-Type",
						"application/json", "Upload-Metadata", "type bWF0aC5wcmltZXM=", "Host",
						"jobs.example.com", "Cookie",
						edge.SessionCookie+"="+br.cookies[edge.SessionCookie])...)
				}
				r := ask("Sec-Fetch-Site", "same-origin")
				if r.status == 401 || r.status == 429 || r.status == 500 || may == (r.status == 403) {
					t.Errorf("%s as %s of %s: %d %s", o.name, role, tenant, r.status, r.body)
				}
				if rule.scope == "" {
					continue
				}
				if r := ask("Sec-Fetch-Site", "cross-site"); r.status != 401 && r.status != 403 {
					t.Errorf("%s as %s from another page: %d %s", o.name, role, r.status, r.body)
				}
			}
		}
	}
}

// signIn returns somebody of a role and a tenant, who is logged in: the same for all who ask.
func (w *town) signIn(role access.Role, tenant string) (access.User, *browser) {
	w.Helper()
	email := strings.ReplaceAll(string(role)+"-of-"+tenant, "*", "all") + "@example.com"
	if br := w.signed[email]; br != nil {
		return access.User{Email: email}, br
	}
	u, br := w.join(email, role, tenant)
	w.signed[email] = br
	return u, br
}

// TestSessionsOverHTTP holds that somebody lists and ends sessions of his own, and no one else's; what
// calls by a key has none.
func TestSessionsOverHTTP(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ada, here := w.join("ada@example.com", access.Viewer, "default")
	there := w.browser()
	there.login(ada.Email, goodPassword).goes("/ui/")
	_, eve := w.join("eve@example.com", access.Administrator, "*")
	list := func(br *browser) (all []struct {
		ID      string
		Current bool
		How     []string
	}) {
		t.Helper()
		r := br.ask("GET", httpapi.PathSessions, nil)
		var body struct {
			Sessions []struct {
				ID      string
				Current bool
				How     []string
			}
		}
		if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return body.Sessions
	}
	own := list(here)
	if len(own) != 2 || own[0].Current || !own[1].Current || own[0].How[0] != "pwd" {
		t.Fatalf("%+v", own)
	}
	path := func(id string) string { return httpapi.PathSessions + "/" + url.PathEscape(id) }
	eve.ask("DELETE", path(own[0].ID), nil).problem(404, httpapi.NotFound)
	w.do("DELETE", path(own[0].ID), "", "Authorization", "Bearer "+rootToken).problem(404, httpapi.NotFound)
	if r := w.do("GET", httpapi.PathSessions, "", "Authorization", "Bearer "+rootToken); r.status != 200 ||
		strings.TrimSpace(r.body) != `{"sessions":[]}` {
		t.Errorf("of a token: %d %s", r.status, r.body)
	}
	if r := here.ask("DELETE", path(own[0].ID), nil); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	w.eventually("the other session ends", func() bool {
		w.gate.Notify()
		return there.ask("GET", "/v1/jobs", nil).status == 401
	})
	if len(list(here)) != 1 {
		t.Error("it is still listed")
	}
}
