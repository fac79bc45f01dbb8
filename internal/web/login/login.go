// Package login serves the pages by which people log in and look after their accounts. They work
// without scripts, but for passkeys, which are made by one.
package login

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/access"
	"longshore/internal/access/password"
	"longshore/internal/access/people"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// Pages serve the login. The zero value says that nobody logs in.
type Pages struct {
	People *people.People // nil = nobody logs in
	Open   bool           // nobody needs to
}

// Where the pages are.
const (
	home         = "/ui/"
	loginPath    = edge.LoginPath
	codePath     = loginPath + "/code"
	againPath    = loginPath + "/again"
	registerPath = loginPath + "/register"
	accountPath  = loginPath + "/account"
	logoutPath   = loginPath + "/logout"
	passwordPath = loginPath + "/password"
	codesPath    = loginPath + "/codes"
	endCodesPath = codesPath + "/end"
	stylePath    = loginPath + "/login.css"
)

//go:embed login.css login.js
var static embed.FS

// Routes are what it serves.
func (h *Pages) Routes() []edge.Route {
	return append(append(h.passkeyRoutes(), h.issuerRoutes()...),
		file(stylePath, "login-style", "login.css", "text/css; charset=utf-8"),
		h.visit("GET", loginPath, "login-page", h.show),
		h.visit("POST", loginPath, "login", h.login),
		h.visit("GET", codePath, "login-code-page", h.showCode),
		h.visit("POST", codePath, "login-code", h.code),
		h.visit("GET", registerPath, "register-page", h.showRegister),
		h.visit("POST", registerPath, "register", h.register),
		h.page("GET", againPath, "login-again-page", h.showAgain),
		h.page("POST", againPath, "login-again", h.again),
		h.page("GET", accountPath, "account-page", h.account),
		h.page("POST", logoutPath, "logout", h.logout),
		fresh(h.page("POST", passwordPath, "set-password", h.setPassword)),
		h.page("GET", codesPath, "codes-page", h.showCodes),
		fresh(h.page("POST", codesPath, "confirm-codes", h.confirmCodes)),
		fresh(h.page("POST", endCodesPath, "end-codes", h.endCodes)),
	)
}

func op(method, path, name string) huma.Operation {
	o := edge.At(method, path, name, "")
	o.Hidden = true // a page, no part of the API
	return o
}

// visit is a page for anybody.
func (h *Pages) visit(method, path, name string, handle func(*edge.Answer, *http.Request) error) edge.Route {
	return edge.Route{Op: op(method, path, name), Access: edge.Visit, Refuse: h.refuse,
		Handle: func(a *edge.Answer, r *http.Request) error {
			if h.People == nil {
				return h.nobody(a)
			}
			if moved(a, r) {
				return nil
			}
			return handle(a, r)
		}}
}

// page is for who is logged in.
func (h *Pages) page(method, path, name string, handle func(*edge.Answer, *http.Request) error) edge.Route {
	return edge.Route{Op: op(method, path, name), Access: edge.Page, Scope: access.Known, Whole: true,
		Refuse: h.refuse, Handle: func(a *edge.Answer, r *http.Request) error {
			if h.People == nil {
				return h.nobody(a)
			}
			if a.Who.Session == nil { // who asks by a key has no account
				return httpapi.NewError(httpapi.Forbidden, "this is for people who are logged in")
			}
			return handle(a, r)
		}}
}

// fresh has a page ask again who it is.
func fresh(rt edge.Route) edge.Route {
	rt.Fresh = true
	return rt
}

// file serves what pages need.
func file(path, name, of, typ string) edge.Route {
	text, err := static.ReadFile(of)
	if err != nil {
		panic(err) // it is embedded
	}
	return edge.Route{Op: op("GET", path, name), Access: edge.Public,
		Handle: func(a *edge.Answer, _ *http.Request) error {
			a.Header().Set("Content-Type", typ)
			a.Header().Set("Cache-Control", "public, max-age=300")
			_, _ = a.Write(text) // an error here is the client's going
			return nil
		}}
}

// moved sends who asks by another name of this host to the one that people use: only there a
// login can be kept. Who comes from there already, by a proxy that changes names, stays.
func moved(a *edge.Answer, r *http.Request) bool {
	public := a.Public()
	if r.Method != http.MethodGet || strings.EqualFold(r.Host, public.Host) || r.URL.Query().Has("moved") {
		return false
	}
	to := *r.URL
	query := to.Query()
	query.Set("moved", "1")
	http.Redirect(a, r, strings.TrimSuffix(public.String(), "/")+to.Path+"?"+query.Encode(),
		http.StatusPermanentRedirect)
	return true
}

// client is the browser that asks.
func client(a *edge.Answer, r *http.Request) people.Client {
	c := people.Client{Address: a.ClientText(), Agent: r.UserAgent()}
	if cookie, err := r.Cookie(deviceCookie); err == nil {
		c.Device = cookie.Value
	}
	return c
}

// The cookies beside the session's: a login that is half done, and a browser that was used.
const (
	pendingCookie = edge.SessionCookie + "-login"
	deviceCookie  = edge.SessionCookie + "-device"

	pendingCookieLife = 10 * time.Minute // longer than what it is for
)

func setCookie(a *edge.Answer, name, value string, life time.Duration) {
	c := http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(a, &c)
}

// took goes on after a step of a login.
func took(a *edge.Answer, r *http.Request, o people.Outcome, back string) error {
	if o.Cookie == "" {
		setCookie(a, pendingCookie, o.Pending, pendingCookieLife)
		return goTo(a, r, withBack(codePath, back))
	}
	loggedIn(a, o)
	if back == "" {
		back = a.PublicPath(home)
	}
	a.Header().Set("Location", back)
	a.WriteHeader(http.StatusSeeOther)
	return nil
}

// loggedIn gives a browser its session.
func loggedIn(a *edge.Answer, o people.Outcome) {
	setCookie(a, edge.SessionCookie, o.Cookie, access.SessionLife)
	if o.Device != "" {
		setCookie(a, deviceCookie, o.Device, 90*24*time.Hour)
	}
	setCookie(a, pendingCookie, "", 0)
}

// goTo sends a browser to another page of ours.
func goTo(a *edge.Answer, _ *http.Request, path string) error {
	a.Header().Set("Location", a.PublicPath(path))
	a.WriteHeader(http.StatusSeeOther)
	return nil
}

func withBack(path, back string) string {
	if back == "" {
		return path
	}
	return path + "?return_to=" + url.QueryEscape(back)
}

// ownPath returns a path of ours to go to after a login; "" = it is none.
func ownPath(a *edge.Answer, text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || len(text) > 2000 ||
		!strings.HasPrefix(text, a.PublicPath(home)) || strings.Contains(u.Path, "..") ||
		strings.Contains(u.Path, "//") || strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r == '\\' || r >= 0x7f
	}) {
		return ""
	}
	return text
}

const maxForm = 16 << 10 // bytes

// form reads what a form of ours sent.
func form(a *edge.Answer, r *http.Request) (url.Values, error) {
	typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || typ != "application/x-www-form-urlencoded" {
		return nil, httpapi.NewError(httpapi.Unsupported, "expected a form")
	}
	if a.Body != nil {
		a.Body.Limit(maxForm)
	}
	if err := r.ParseForm(); err != nil {
		return nil, httpapi.NewError(httpapi.Invalid, "the form can't be read").
			WithStatus(http.StatusBadRequest).Wrap(err)
	}
	return r.PostForm, nil
}

// worded turns what went wrong into what the person reads; ok is false where it is not the
// person's matter.
func worded(err error) (status int, text string, ok bool) {
	var wait *people.WaitError
	var bad *people.BadPasswordError
	switch {
	case errors.As(err, &wait):
		return http.StatusTooManyRequests, fmt.Sprintf("Too many tries. Wait %s.", inWords(wait.After)), true
	case errors.As(err, &bad):
		return http.StatusUnprocessableEntity, "Not this password: " + bad.Detail + ".", true
	case errors.Is(err, password.ErrBusy):
		return http.StatusServiceUnavailable, "Many people log in just now. Try again in some seconds.", true
	case errors.Is(err, people.ErrWrong):
		return http.StatusUnprocessableEntity, "", true
	case errors.Is(err, people.ErrLast):
		return http.StatusConflict, "This is your last way to log in. Set up another one first.", true
	case errors.Is(err, people.ErrNoCodes):
		return http.StatusConflict, "Codes of an app need ACCESS_SECRET to be set for the web processes.", true
	case errors.Is(err, store.ErrChanged):
		return http.StatusConflict, "Something changed meanwhile. Try again.", true
	}
	return 0, "", false
}

// waitRefusal is the refusal of who must wait; nil: it is something else that went wrong.
func waitRefusal(err error) error {
	var wait *people.WaitError
	if !errors.As(err, &wait) {
		return nil
	}
	_, text, _ := worded(err)
	return httpapi.NewError(httpapi.RateLimited, text).
		WithRetryAfter(wait.After.Truncate(time.Second) + time.Second).Wrap(err)
}

func inWords(d time.Duration) string {
	if d <= time.Minute {
		return fmt.Sprintf("%d s", int(math.Ceil(d.Seconds())))
	}
	return fmt.Sprintf("%d min", int(math.Ceil(d.Minutes())))
}

// unread is for access data that can't be read: nobody logs in for the moment.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, access.ErrRevoked) || errors.Is(err, store.ErrNoUser) { // as by a form sent twice
		return httpapi.NewError(httpapi.Unauthorized, "You are signed out. Sign in anew.").Wrap(err)
	}
	return httpapi.NewError(httpapi.Unavailable, "nobody can log in for the moment, try again").
		WithRetryAfter(2 * time.Second).Wrap(err)
}
