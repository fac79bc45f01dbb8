package web_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/access"
	"longshore/internal/access/gate"
	"longshore/internal/access/people"
	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/internal/web/edge"
)

const accessSecret = "a-secret-for-tests-of-32-characters"

const goodPassword = "correct horse battery"

// A town is a server where people log in.
type town struct {
	*bench
	gate   *testGate
	people *people.People
	signed map[string]*browser
}

func newTown(t testing.TB, change ...func(*web.Config)) *town {
	t.Helper()
	g := newGate(t, rootToken)
	public := &url.URL{Scheme: "https", Host: "jobs.example.com"}
	p, err := people.New(people.Config{Store: g.Store, Public: public, Secrets: []string{accessSecret},
		Refused: g.Refused, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.Sessions = p
	b := setup(t, append([]func(*web.Config){func(c *web.Config) {
		c.Gate, c.Token, c.Public, c.People = g, rootToken, public, p
	}}, change...)...)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &town{b, g, p, map[string]*browser{}}
}

// A browser is one, with its cookies and what it says of where a request comes from.
type browser struct {
	*town
	cookies map[string]string
	from    []string
}

func (w *town) browser() *browser {
	return &browser{w, map[string]string{},
		[]string{"Sec-Fetch-Site", "same-origin", "Host", "jobs.example.com"}}
}

func (br *browser) ask(method, path string, form url.Values, headers ...string) reply {
	br.Helper()
	headers = append(headers, br.from...)
	var all []string
	for name, value := range br.cookies {
		all = append(all, name+"="+value)
	}
	if all != nil {
		headers = append(headers, "Cookie", strings.Join(all, "; "))
	}
	body := ""
	if form != nil {
		body = form.Encode()
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	r := br.do(method, path, body, headers...)
	for _, line := range r.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			br.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" ||
			c.Domain != "" ||
			c.SameSite != http.SameSiteLaxMode {
			br.Errorf("cookie %s", line)
		}
		if br.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(br.cookies, c.Name)
		}
	}
	return r
}

// goes checks that an answer sends the browser somewhere.
func (r reply) goes(where string) {
	r.t.Helper()
	if got := r.header.Get("Location"); r.status != 303 || got != where {
		r.t.Fatalf("%d to %q, want 303 to %q\n%s", r.status, got, where, r.body)
	}
}

// page checks that an answer is a page that says something.
func (r reply) page(status int, says string) {
	r.t.Helper()
	csp := r.header.Get("Content-Security-Policy")
	if r.status != status || !strings.Contains(r.body, says) ||
		!strings.HasPrefix(r.header.Get("Content-Type"), "text/html") ||
		r.header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(csp, "default-src 'none'; style-src 'self'; script-src 'self';") ||
		!strings.Contains(csp, "frame-ancestors 'none'") {
		r.t.Fatalf("%d %v, want a page %d that says %q\n%s", r.status, r.header, status, says, r.body)
	}
}

func one(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// join makes a person known and returns a browser in which the person is logged in.
func (w *town) join(email string, role access.Role, tenant string) (access.User, *browser) {
	w.Helper()
	u, link, err := w.gate.Store.AddUser(w.Context(), local, access.User{Email: email, Role: role,
		Tenant: tenant})
	if err != nil {
		w.Fatal(err)
	}
	br := w.browser()
	br.ask("GET", "/ui/login/register?link="+link, nil).page(200, u.Email)
	br.ask("POST", "/ui/login/register", one("link", link, "password", goodPassword)).
		goes("/ui/login/account")
	return u, br
}

func (br *browser) login(email, password string) reply {
	br.Helper()
	return br.ask("POST", "/ui/login", one("email", email, "password", password))
}

// TestLogin goes through a link, a password, a session and its end.
func TestLogin(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	u, link, err := w.gate.Store.AddUser(t.Context(), local, access.User{Email: "Ada@Example.com",
		Role: access.Operator, Tenant: "default"})
	if err != nil || u.Email != "ada@example.com" {
		t.Fatal(u, err)
	}
	br := w.browser()
	br.ask("GET", "/v1/jobs", nil).problem(401, httpapi.Unauthorized)
	br.ask("GET", "/ui/login/account?x=1", nil).goes("/ui/login?return_to=%2Fui%2Flogin%2Faccount%3Fx%3D1")
	br.ask("GET", "/ui/login/register?link=nonsense", nil).page(404, "older than an hour")
	for _, bad := range []string{"", "short", "longshore-ada", "password1234"} {
		br.ask("POST", "/ui/login/register", one("link", link, "password", bad)).
			page(422, "Not this password")
	}
	br.ask("POST", "/ui/login/register", one("link", link, "password", goodPassword)).
		goes("/ui/login/account")
	br.ask("POST", "/ui/login/register", one("link", link, "password", goodPassword)).page(404, "was used")
	br.ask("GET", "/ui/login/account", nil).page(200, "ada@example.com")
	if r := br.ask("GET", "/v1/jobs", nil); r.status != 200 {
		t.Fatalf("with the session: %d %s", r.status, r.body)
	}
	br.ask("GET", "/v1/keys", nil).problem(403, httpapi.Forbidden) // an operator is no admin
	first := br.cookies[edge.SessionCookie]
	other := w.browser()
	r := other.ask("POST", "/ui/login", one("email", " ADA@example.com", "password", goodPassword,
		"return_to",
		"/ui/jobs?state=failed"))
	r.goes("/ui/jobs?state=failed")
	if other.cookies[edge.SessionCookie] == first {
		t.Error("two sessions with one id")
	}
	list := br.ask("GET", "/ui/login/account", nil)
	sessions := regexp.MustCompile(`name="session" value="([^"]+)"`).FindAllStringSubmatch(list.body, -1)
	if len(sessions) != 1 {
		t.Fatalf("other sessions: %q", sessions)
	}
	br.ask("POST", "/ui/login/logout", one("session", sessions[0][1])).goes("/ui/login/account")
	w.eventually("the other session ends", func() bool {
		w.gate.Notify()
		return other.ask("GET", "/v1/jobs", nil).status == 401
	})
	br.ask("POST", "/ui/login/logout", one()).goes("/ui/login")
	if br.cookies[edge.SessionCookie] != "" {
		t.Error("the cookie is still there")
	}
	br.cookies[edge.SessionCookie] = first
	w.eventually("the session ends", func() bool {
		w.gate.Notify()
		return br.ask("GET", "/v1/jobs", nil).status == 401
	})
	if log := w.log.String(); strings.Contains(log, first) || strings.Contains(log, link) ||
		strings.Contains(log, goodPassword) {
		t.Error("a secret is in the log")
	}
	r = w.do("GET", httpapi.PathAudit, "", "Authorization", "Bearer "+rootToken)
	for _, action := range []string{"users.add", "users.register", "login", "logout"} {
		if !strings.Contains(r.body, `"`+action+`"`) {
			t.Errorf("%s is not in the audit log: %s", action, r.body)
		}
	}
}

// TestCookieOfOthers holds that a session counts for pages of ours alone, and for nothing beside
// another credential: CSRF by forms and fetch, foreign sockets, origins of CORS_ORIGINS.
func TestCookieOfOthers(t *testing.T) {
	t.Parallel()
	w := newTown(t, func(c *web.Config) { c.Origins = []string{"https://app.example.com"} })
	_, br := w.join("ada@example.com", access.Administrator, "*")
	_, poor := issue(t, w.gate, access.Key{Scopes: []string{"numbers"}})
	for name, c := range map[string]struct {
		from   []string
		status int
	}{
		"our page":              {[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"the address bar":       {[]string{"Sec-Fetch-Site", "none"}, 200},
		"our page, old browser": {[]string{"Origin", "https://jobs.example.com"}, 200},
		"nothing said":          {nil, 401},
		"a sister":              {[]string{"Sec-Fetch-Site", "same-site"}, 401},
		"another":               {[]string{"Sec-Fetch-Site", "cross-site"}, 401},
		"another, by a link": {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate",
			"Sec-Fetch-Dest", "document"}, 401},
		"CORS":               {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.com"}, 401},
		"CORS, old browser":  {[]string{"Origin", "https://app.example.com"}, 401},
		"a key beside":       {[]string{"Sec-Fetch-Site", "same-origin", "Authorization", "Bearer " + poor}, 403},
		"a wrong key beside": {[]string{"Sec-Fetch-Site", "same-origin", "Authorization", "Bearer x"}, 401},
	} {
		br.from = c.from
		r := br.ask("GET", "/v1/jobs", nil)
		if r.status != c.status {
			t.Errorf("%s: %d, want %d", name, r.status, c.status)
		}
		if r.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials are allowed", name)
		}
	}
	for _, from := range [][]string{nil, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "https://app.example.com"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}} {
		br.from = append(from, "Host", "jobs.example.com")
		for _, path := range []string{"/v1/jobs", "/v1/jobs/x/cancel", "/ui/login", "/ui/login/logout",
			"/ui/login/register", "/ui/login/password"} {
			if r := br.ask("POST", path, one("email", "a@b.example")); r.status != 403 && r.status != 401 &&
				(r.status != 303 || !strings.HasPrefix(r.header.Get("Location"), "/ui/login")) ||
				r.header.Get("Set-Cookie") != "" {
				t.Errorf("%s from %v: %d %v", path, from, r.status, r.header)
			}
		}
	}
	// A page of ours may be opened by a link from elsewhere; it does nothing by that.
	br.from = []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest",
		"document", "Host", "jobs.example.com"}
	br.ask("GET", "/ui/login/account", nil).page(200, "ada@example.com")
	for origin, ok := range map[string]bool{"https://jobs.example.com": true, "https://evil.example": false,
		"https://app.example.com": false, "http://jobs.example.com": false, "null": false} {
		c, resp, err := websocket.Dial(t.Context(), strings.Replace(w.url, "http", "ws", 1)+
			httpapi.PathSocket,
			&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin},
				"Cookie": {edge.SessionCookie + "=" + br.cookies[edge.SessionCookie]}},
				Host:         "jobs.example.com",
				Subprotocols: []string{"longshore.v1"}})
		if (err == nil) != ok {
			t.Errorf("a socket of %s: %v", origin, err)
		}
		if err == nil {
			_ = c.CloseNow()
		} else if resp.StatusCode != 401 && resp.StatusCode != 403 {
			t.Errorf("a socket of %s: %d", origin, resp.StatusCode)
		}
	}
}

// TestLoginTries holds that guesses are slowed by account and address, the same for who isn't
// there, and that who has logged in by a browser before isn't kept out by others' guesses.
func TestLoginTries(t *testing.T) {
	t.Parallel()
	w := newTown(t, func(c *web.Config) { c.TrustedProxies = loopbackProxies })
	_, br := w.join("ada@example.com", access.Viewer, "default")
	from := func(br *browser, address string) *browser {
		br.from = append(br.from, "X-Forwarded-For", address)
		return br
	}
	// guesses tries until it is to wait, and returns how many tries were answered otherwise.
	guesses := func(email string, address func(i int) string) int {
		t.Helper()
		for i := range 60 {
			r := from(w.browser(), address(i)).login(email, "wrong horse battery")
			if r.status == 429 {
				if r.page(429, "Too many tries"); r.header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				return i
			}
			r.page(422, "don’t belong together")
		}
		t.Fatalf("%s may be tried for ever", email)
		return 0
	}
	for _, email := range []string{"ada@example.com", "nobody@example.com", "no address"} {
		// each try beyond the fifth costs a wait, which a slow machine may let pass
		if n := guesses(email, func(int) string { return "192.0.2.7" }); n < 5 || n > 8 {
			t.Errorf("%s: %d guesses", email, n)
		}
	}
	from(w.browser(), "192.0.2.8").login("ada@example.com", goodPassword).goes("/ui/")
	if n := guesses("ada@example.com", func(i int) string {
		return fmt.Sprintf("198.51.100.%d", i)
	}); n < 20 {
		t.Errorf("%d guesses by as many addresses", n)
	}
	from(br, "192.0.2.10").login("ada@example.com", goodPassword).goes("/ui/")
	r := w.do("GET", httpapi.PathAudit+"?kind=refused", "", "Authorization", "Bearer "+rootToken)
	if r.status != 200 {
		t.Errorf("audit: %d", r.status)
	}
}

// TestSessionEndsWaits holds that what waits by a session ends with it: by disabling, another
// role, a reset; and that nothing else of the person's account ends it.
func TestSessionEndsWaits(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	snap := newSnapshot("running", 5)
	w.put(snap)
	for name, end := range map[string]func(id string) error{
		"disabled": func(id string) error {
			_, err := w.gate.Store.Disable(t.Context(), local, id, true)
			return err
		},
		"role": func(id string) error {
			_, err := w.gate.Store.SetRole(t.Context(), local, id, access.Operator)
			return err
		},
		"reset": func(id string) error {
			_, _, err := w.gate.Store.NewLink(t.Context(), local, id, true)
			return err
		},
		"removed": func(id string) error { return w.gate.Store.RemoveUser(t.Context(), local, id) },
	} {
		u, br := w.join(name+"@example.com", access.Viewer, "default")
		if r := br.ask("GET", httpapi.JobPath(snap.ID), nil); r.status != 200 {
			t.Fatalf("%s: %d", name, r.status)
		}
		ended := make(chan reply, 1)
		w.mu.Lock()
		waited := w.waited
		w.mu.Unlock()
		go func() { ended <- br.ask("GET", httpapi.JobPath(snap.ID)+"?wait=20s", nil) }()
		w.eventually("it waits", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.waited > waited
		})
		if err := end(u.ID); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if r := <-ended; r.status != 401 || time.Since(begun) > 15*time.Second {
			t.Errorf("%s: what waited ended with %d after %v", name, r.status, time.Since(begun))
		}
		want := map[bool]int{true: 200, false: 401}[name == "role"]
		if r := br.ask("GET", httpapi.JobPath(snap.ID), nil); r.status != want {
			t.Errorf("%s: then %d, want %d", name, r.status, want)
		}
		if r := br.login(name+"@example.com", goodPassword); (r.status == 303) != (name == "role") {
			t.Errorf("%s: a login afterwards: %d", name, r.status)
		}
	}
}

// TestRedisAwayLogin holds that nobody logs in, and nobody is refused as unknown, while access
// data can't be read.
func TestRedisAwayLogin(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	_, br := w.join("ada@example.com", access.Viewer, "default")
	g := gate.New(gate.Config{Store: w.gate.Store, Root: rootToken, Closed: true, Sessions: w.people,
		Log: slog.New(slog.DiscardHandler)}) // it has never looked
	if _, err := g.Session(t.Context(), br.cookies[edge.SessionCookie]); !errors.Is(err, access.ErrUnread) {
		t.Errorf("got %v", err)
	}
}

// TestReturnTo sends nobody anywhere else after a login.
func TestReturnTo(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	_, br := w.join("ada@example.com", access.Viewer, "default")
	for back, want := range map[string]string{
		"/ui/jobs/1?x=2#y": "/ui/jobs/1?x=2#y", "": "/ui/", "//evil.example/ui/": "/ui/",
		"/\\evil.example":          "/ui/",
		"https://evil.example/ui/": "/ui/", "/v1/jobs": "/ui/", "/ui/../v1/x": "/ui/",
		"/ui//evil.example": "/ui/", "/ui/\r\nSet-Cookie: a=b": "/ui/", "/ui/%2e%2e/x": "/ui/",
		"javascript:alert(1)": "/ui/", "/ui/\\x": "/ui/",
	} {
		br.ask("POST", "/ui/login", one("email", "ada@example.com", "password", goodPassword, "return_to",
			back)).
			goes(want)
		br.ask("GET", "/ui/login?return_to="+url.QueryEscape(back), nil).goes(want)
	}
	// Another name of the host: the cookie would be that name's.
	br.from = []string{"Host", "10.0.0.1:8080"}
	if r := br.ask("GET", "/ui/login?return_to=%2Fui%2F", nil); r.status != 308 ||
		r.header.Get("Location") != "https://jobs.example.com/ui/login?moved=1&return_to=%2Fui%2F" {
		t.Errorf("%d to %q", r.status, r.header.Get("Location"))
	}
}

// TestNobodyLogsIn is what the pages are where there are no people.
func TestNobodyLogsIn(t *testing.T) {
	t.Parallel()
	open, closed := setup(t), setup(t, behindProxy)
	if r := open.do("GET", "/ui/login", ""); r.status != 200 ||
		!strings.Contains(r.body, "Nobody needs to sign in") {
		t.Errorf("open: %d %s", r.status, r.body)
	}
	if r := closed.do("GET", "/ui/login", "", "Authorization", ""); r.status != 200 ||
		!strings.Contains(r.body, "PUBLIC_URL") {
		t.Errorf("closed: %d %s", r.status, r.body)
	}
	closed.do("GET", "/v1/jobs", "", "Authorization", "", "Cookie", edge.SessionCookie+"=x", "Sec-Fetch-Site",
		"same-origin").problem(401, httpapi.Unauthorized)
}
