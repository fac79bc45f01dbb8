package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/internal/web/edge"
)

// appCode is what an app shows, steps from now.
func appCode(t testing.TB, secret string, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// between returns what stands in a page between two texts.
func (r reply) between(from, to string) string {
	r.t.Helper()
	_, rest, ok := strings.Cut(r.body, from)
	text, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		r.t.Fatalf("no %s in %s", from, r.body)
	}
	return text
}

// TestCodes sets up an app's codes, logs in by one, which counts once, and by one for when the app
// is lost.
func TestCodes(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	u, br := w.join("ada@example.com", access.Viewer, "default")
	elsewhere := w.browser()
	elsewhere.login(u.Email, goodPassword).goes("/ui/")
	r := br.ask("GET", "/ui/login/codes", nil)
	r.page(200, "<svg class=\"qr\"")
	secret := strings.ReplaceAll(r.between(`<code id="secret">`, "<"), " ", "")
	if again := br.ask("GET", "/ui/login/codes", nil); !strings.Contains(again.body, secret[:4]) {
		t.Error("a page that is opened again shows another secret")
	}
	br.ask("POST", "/ui/login/codes", one("code", "12345")).page(422, "Not this code")
	before := br.cookies[edge.SessionCookie]
	r = br.ask("POST", "/ui/login/codes", one("code", appCode(t, secret, -1)))
	r.page(200, "Write these down")
	recovery := regexp.MustCompile(`<code>([a-z2-7-]{19})</code>`).FindAllStringSubmatch(r.body, -1)
	if len(recovery) != 10 || br.cookies[edge.SessionCookie] == before {
		t.Fatalf("%d codes; the session's id is another: %v", len(recovery),
			br.cookies[edge.SessionCookie] != before)
	}
	w.eventually("other sessions end", func() bool {
		w.gate.Notify()
		return elsewhere.ask("GET", "/v1/jobs", nil).status == 401
	})
	if k, err := w.gate.Store.User(t.Context(), u.ID); err != nil || strings.Contains(k.TOTP, secret) ||
		k.TOTP == "" {
		t.Errorf("the secret is kept as %v, %v", k, err)
	}
	second := func(code string) reply {
		br := w.browser()
		br.login(u.Email, goodPassword).goes("/ui/login/code")
		if br.cookies[edge.SessionCookie] != "" {
			t.Error("a session without the second proof")
		}
		br.ask("GET", "/v1/jobs", nil).problem(401, httpapi.Unauthorized)
		br.ask("GET", "/ui/login/code", nil).page(200, "Six digits")
		return br.ask("POST", "/ui/login/code", one("code", code))
	}
	code := appCode(t, secret, 0)
	second(code).goes("/ui/")
	second(code).page(422, "Not this code")                    // it was used
	second(appCode(t, secret, -1)).page(422, "Not this code")  // and so was all before it
	second(appCode(t, secret, 40)).page(422, "Not this code")  // of another time
	second(" " + strings.ToUpper(recovery[3][1])).goes("/ui/") // however it is typed
	second(recovery[3][1]).page(422, "Not this code")
	// Five tries are all that one password is good for.
	br = w.browser()
	br.login(u.Email, goodPassword).goes("/ui/login/code")
	for range 5 {
		br.ask("POST", "/ui/login/code", one("code", "000000")).page(422, "Not this code")
	}
	pending := br.cookies["__Host-longshore-login"]
	br.ask("POST", "/ui/login/code", one("code", recovery[0][1])).page(422, "Begin anew")
	br.cookies["__Host-longshore-login"] = pending
	br.ask("POST", "/ui/login/code", one("code", recovery[0][1])).page(422, "Begin anew")
	// Without the secret's key nobody gets in, and nobody is told more than that.
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

// TestCodeTriesAreBounded holds that who has the first proof can't guess codes without end by
// beginning anew, and that the person gets in once the wait is over.
func TestCodeTriesAreBounded(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	u, br := w.join("ada@example.com", access.Viewer, "default")
	r := br.ask("GET", "/ui/login/codes", nil)
	secret := strings.ReplaceAll(r.between(`<code id="secret">`, "<"), " ", "")
	br.ask("POST", "/ui/login/codes", one("code", appCode(t, secret, -1))).page(200, "Write these down")
	var logins []*browser
	for range 3 {
		br := w.browser()
		br.login(u.Email, goodPassword).goes("/ui/login/code")
		logins = append(logins, br)
	}
	for i := range 10 {
		logins[i/5].ask("POST", "/ui/login/code", one("code", "none")).page(422, "Not this code")
	}
	rdb, at := redistest.Client(t), w.gate.prefix+":{a}:try:code:"+u.ID
	// waits has the next try wait until a time: a slow machine may have let the first wait pass.
	waits := func(until time.Time) {
		t.Helper()
		if text, err := rdb.Get(t.Context(), at).Result(); err != nil || !strings.HasPrefix(text, "10 ") {
			t.Fatalf("tries: %q, %v", text, err)
		}
		if err := rdb.Set(t.Context(), at, fmt.Sprint("10 ", until.UnixMilli()), time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	waits(time.Now().Add(time.Minute))
	code := one("code", appCode(t, secret, 0))
	logins[2].ask("POST", "/ui/login/code", code).page(429, "Too many tries")
	waits(time.Now().Add(-time.Minute))
	logins[2].ask("POST", "/ui/login/code", code).goes("/ui/")
	if n, err := rdb.Exists(t.Context(), at).Result(); err != nil || n != 0 {
		t.Errorf("tries after a login: %d, %v", n, err)
	}
}

// TestStepUp holds that who changes keys or his own login has proved lately who he is, and that a
// proof is a new session.
func TestStepUp(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	u, br := w.join("ada@example.com", access.Administrator, "*")
	key := func() reply {
		return br.do("POST", httpapi.PathKeys, `{"name":"a","scopes":["jobs:read"]}`,
			append([]string{"Content-Type",
				"application/json", "Cookie", edge.SessionCookie + "=" + br.cookies[edge.SessionCookie]},
				br.from...)...)
	}
	if r := key(); r.status != 201 {
		t.Fatalf("just logged in: %d %s", r.status, r.body)
	}
	br = w.browser()
	br.login(u.Email, goodPassword).goes("/ui/")
	w.age(br)
	key().problem(403, httpapi.StepUp)
	if r := br.ask("GET", httpapi.PathKeys, nil); r.status != 200 {
		t.Errorf("a look at keys: %d", r.status)
	}
	br.ask("POST", "/ui/login/password", one("password", "another good one 7")).
		goes("/ui/login/again?return_to=%2Fui%2Flogin%2Faccount")
	br.ask("GET", "/ui/login/again?return_to=%2Fui%2Fkeys", nil).page(200, "Is it still you?")
	br.ask("POST", "/ui/login/again", one("password", "wrong horse battery")).page(422, "Not your password")
	old := br.cookies[edge.SessionCookie]
	br.ask("POST", "/ui/login/again", one("password", goodPassword, "return_to", "/ui/keys")).goes("/ui/keys")
	if r := key(); r.status != 201 {
		t.Errorf("after the proof: %d %s", r.status, r.body)
	}
	now := br.cookies[edge.SessionCookie]
	br.cookies[edge.SessionCookie] = old
	w.eventually("the session before ends", func() bool {
		w.gate.Notify()
		return br.ask("GET", "/v1/jobs", nil).status == 401
	})
	br.cookies[edge.SessionCookie] = now
	br.ask("POST", "/ui/login/password", one("password", "another good one 7")).
		goes("/ui/login/account?done=1")
	w.browser().login(u.Email, goodPassword).page(422, "don’t belong together")
	w.browser().login(u.Email, "another good one 7").goes("/ui/")
}

// age makes the last proof of a session old, as if time had passed. It was not used yet.
func (w *town) age(br *browser) {
	w.Helper()
	rdb, sum := redistest.Client(w), sha256.Sum256([]byte(br.cookies[edge.SessionCookie]))
	at := w.gate.prefix + ":{a}:session:" + base64.RawURLEncoding.EncodeToString(sum[:])
	text, err := rdb.Get(w.Context(), at).Result()
	if err != nil {
		w.Fatal(err)
	}
	text = regexp.MustCompile(`"proved":"[^"]*"`).ReplaceAllString(text,
		`"proved":"`+time.Now().Add(-16*time.Minute).UTC().Format(time.RFC3339)+`"`)
	if err := rdb.Set(w.Context(), at, text, time.Hour).Err(); err != nil {
		w.Fatal(err)
	}
}
