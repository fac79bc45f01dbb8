package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/internal/web/edge"
	"longshore/job"
)

// at is a browser that comes from an address.
func (br *browser) at(address string) *browser {
	br.from = append(br.from, "X-Forwarded-For", address)
	return br
}

func throughProxy(c *web.Config) { c.TrustedProxies = loopbackProxies }

// TestGoodLoginsAreFree holds that logins that succeed use up nobody's tries: an office of one address, and
// an account that is used a lot; until one person begins more sessions than anybody needs.
func TestGoodLoginsAreFree(t *testing.T) {
	t.Parallel()
	w := newTown(t, throughProxy)
	var emails []string
	for i := range 3 {
		u, _ := w.join(fmt.Sprintf("u%d@example.com", i), access.Viewer, "default")
		emails = append(emails, u.Email)
	}
	for i := range 57 { // more than an address may try
		w.browser().at("192.0.2.1").login(emails[i%3], goodPassword).goes("/ui/")
	}
	for i := range 15 {
		br := w.browser().at("192.0.2.1")
		r := br.login(emails[0], goodPassword)
		if r.status == 429 {
			if r.page(429, "Too many tries"); i < 9 {
				t.Errorf("%d sessions were too many", i+20)
			}
			return
		}
		r.goes("/ui/")
	}
	t.Error("a person may begin any number of sessions")
}

// TestKnownBrowser holds that a browser that somebody logs in by isn't kept out by a stranger at the same
// address, who has tried until the account and the address must wait.
func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	w := newTown(t, throughProxy)
	u, own := w.join("ada@example.com", access.Viewer, "default")
	var r reply
	for range 12 {
		if r = w.browser().at("192.0.2.9").login(u.Email, "a wrong one, long"); r.status == 429 {
			break
		}
	}
	r.page(429, "Too many tries")
	own.at("192.0.2.9").login(u.Email, goodPassword).goes("/ui/")
	w.browser().at("192.0.2.9").login(u.Email, goodPassword).page(429, "Too many tries")
	// What it was given is no licence to try for ever, nor for another account.
	v, _ := w.join("eve@example.com", access.Viewer, "default")
	for _, email := range []string{u.Email, v.Email} {
		for i := 0; ; i++ {
			if r := own.login(email, "a wrong one, long"); r.status == 429 {
				break
			}
			if i > 20 {
				t.Fatalf("%s may be tried for ever", email)
			}
		}
	}
}

// TestStrangersAsk holds that what strangers have us keep, before they have proved anything, is bounded by
// their address.
func TestStrangersAsk(t *testing.T) {
	t.Parallel()
	w := newTown(t, throughProxy)
	begin := func(address string) reply {
		return w.browser().at(address).ask("POST", "/ui/login/passkey/begin", nil)
	}
	for i := 0; ; i++ {
		r := begin("192.0.2.3")
		if r.status == 429 {
			r.problem(429, httpapi.RateLimited)
			if r.header.Get("Retry-After") == "" || i < 60 {
				t.Errorf("after %d: %v", i, r.header)
			}
			break
		}
		if r.status != 200 || i > 90 {
			t.Fatalf("%d after %d", r.status, i)
		}
	}
	if r := begin("192.0.2.4"); r.status != 200 {
		t.Errorf("another address: %d", r.status)
	}
}

// TestChangesAreBounded holds that changes of an account wait too, and that a form that is sent twice finds
// its session replaced, which is no fault of ours.
func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	_, br := w.join("ada@example.com", access.Viewer, "default")
	for i := range 50 {
		old := br.cookies[edge.SessionCookie]
		r := br.ask("POST", "/ui/login/password", one("password", goodPassword))
		if r.status == 429 {
			if r.page(429, "Too many tries"); i < 28 {
				t.Errorf("%d changes were too many", i)
			}
			return
		}
		r.goes("/ui/login/account?done=1")
		twice := &browser{w, map[string]string{edge.SessionCookie: old}, br.from}
		if i > 0 {
			continue
		}
		if r := twice.ask("POST", "/ui/login/password", one("password", goodPassword)); r.status != 303 ||
			!strings.HasPrefix(r.header.Get("Location"), "/ui/login") ||
			strings.Contains(r.header.Get("Location"), "done") {
			t.Fatalf("sent twice: %d %s", r.status, r.body)
		}
	}
	t.Error("an account may be changed for ever")
}

// TestLinksReplace holds that a new link ends those before.
func TestLinksReplace(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	u, first, err := w.gate.Store.AddUser(t.Context(), local, access.User{Email: "ada@example.com",
		Role: access.Viewer, Tenant: "default"})
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := w.gate.Store.NewLink(t.Context(), local, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	_, third, err := w.gate.Store.NewLink(t.Context(), local, u.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{first, second} {
		w.browser().ask("GET", "/ui/login/register?link="+link, nil).page(404, "was used")
		w.browser().ask("POST", "/ui/login/register", one("link", link, "password", goodPassword)).
			page(404, "was used")
	}
	w.browser().ask("POST", "/ui/login/register", one("link", third, "password", goodPassword)).
		goes("/ui/login/account")
}

// mints makes a page's token that sees a job, by a credential.
func (b *bench) mints(id string, headers ...string) string {
	b.Helper()
	r := b.do("POST", httpapi.PathTokens, `{"jobs":["`+id+`"]}`, append(headers, "Content-Type",
		"application/json")...)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusCreated {
		b.Fatalf("%d %s", r.status, r.body)
	}
	return made.Token
}

// TestTokensEndWithPerson holds that tokens of pages end with what ends a person's sessions, and that those
// that are made afterwards count.
func TestTokensEndWithPerson(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	snap := newSnapshot("running", 5)
	w.put(snap)
	s := w.gate.Store
	for name, end := range map[string]func(id string, br *browser) error{
		"reset": func(id string, _ *browser) error {
			_, _, err := s.NewLink(t.Context(), local, id, true)
			return err
		},
		"disabled": func(id string, _ *browser) error {
			_, err := s.Disable(t.Context(), local, id, true)
			return err
		},
		"lower role": func(id string, _ *browser) error {
			_, err := s.SetRole(t.Context(), local, id, access.Viewer)
			return err
		},
		"new password": func(_ string, br *browser) error {
			br.ask("POST", "/ui/login/password", one("password", goodPassword)).goes("/ui/login/account?done=1")
			return nil
		},
		"removed": func(id string, _ *browser) error { return s.RemoveUser(t.Context(), local, id) },
	} {
		name = strings.ReplaceAll(name, " ", "-")
		u, br := w.join(name+"@example.com", access.Operator, "default")
		mint := func(br *browser) string {
			return w.mints(string(snap.ID), append(br.from, "Cookie",
				edge.SessionCookie+"="+br.cookies[edge.SessionCookie])...)
		}
		sees := func(token string) int {
			return w.do("GET", httpapi.JobPath(snap.ID), "", "Authorization", "Bearer "+token).status
		}
		token := mint(br)
		if got := sees(token); got != 200 {
			t.Fatalf("%s: before: %d", name, got)
		}
		if err := end(u.ID, br); err != nil {
			t.Fatal(err)
		}
		w.eventually("the token ends", func() bool { return sees(token) == 401 })
		if name == "new-password" {
			if got := sees(mint(br)); got != 200 {
				t.Errorf("%s: a token made afterwards: %d", name, got)
			}
		}
	}
}

// TestRotationEndsTokens holds that a rotation that keeps nothing ends what the secret before has made, and
// one that keeps it does not.
func TestRotationEndsTokens(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	snap := newSnapshot("running", 5)
	b.put(snap)
	k, secret := issue(t, g, access.Key{Scopes: []string{"jobs:read"}})
	sees := func(token string) int {
		return b.do("GET", httpapi.JobPath(snap.ID), "", "Authorization", "Bearer "+token).status
	}
	token := b.mints(string(snap.ID), "Authorization", "Bearer "+secret)
	_, second, err := g.Store.Rotate(t.Context(), local, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Look(t.Context()); err != nil || sees(token) != 200 {
		t.Fatalf("a rotation that keeps the secret ended its token: %v", err)
	}
	if _, third, err := g.Store.Rotate(t.Context(), local, k.ID, 0); err != nil {
		t.Fatal(err)
	} else if err := g.Look(t.Context()); err != nil || sees(token) != 401 || sees(second) != 401 {
		t.Errorf("the token lives on: %v", err)
	} else if got := sees(b.mints(string(snap.ID), "Authorization", "Bearer "+third)); got != 200 {
		t.Errorf("a token made afterwards: %d", got)
	}
}

// TestPagesHaveRatesApart holds that who looks at a page can't use up what the page's backend may do.
func TestPagesHaveRatesApart(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	snap := newSnapshot("running", 5)
	b.put(snap)
	_, secret := issue(t, g, access.Key{Scopes: []string{"jobs:read"},
		Rate: access.Rate{N: 10, Per: time.Hour, Burst: 10}})
	token := b.mints(string(snap.ID), "Authorization", "Bearer "+secret)
	for i := 0; b.do("GET", httpapi.JobPath(snap.ID), "", "Authorization", "Bearer "+token).status != 429; i++ {
		if i > 20 {
			t.Fatal("a page has no rate")
		}
	}
	if r := b.do("GET", httpapi.JobPath(snap.ID), "", "Authorization", "Bearer "+secret); r.status != 200 {
		t.Errorf("the backend is kept out by its pages: %d %s", r.status, r.body)
	}
}

// TestLongTokenChoosesItsJob holds that a page may name the job that its token has drawn however long ago
// that was.
func TestLongTokenChoosesItsJob(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	old := string(job.NewID(time.Now().Add(-20 * time.Hour)))
	page := b.mint(g, &access.Principal{Scopes: access.JobsSubmit | access.JobsRead, Types: []string{"math.*"},
		Grant: &access.Grant{Submit: &access.Submit{Job: old, Types: []string{"math.*"}, MaxBytes: 9}}})
	ask := func(credential string) reply {
		return b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":10}}`, "Authorization",
			"Bearer "+credential, "Content-Type", "application/json", httpapi.HeaderJob, old)
	}
	if r := ask(page); r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
	ask(rootToken).problem(422, httpapi.Invalid, "/headers/"+httpapi.HeaderJob)
}
