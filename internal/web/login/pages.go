package login

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/people"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

//go:embed *.html
var texts embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
}).ParseFS(texts, "*.html"))

// policy is what browsers let these pages do.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A view is what a page shows.
type view struct {
	Title string
	Base  string // the path before ours
	Host  string
	Wrong string // what went wrong
	Said  string // what went right
	Back  string // where to go afterwards
	Email string
	Link  string

	User     *access.User
	Session  *access.Session
	Sessions []access.Session
	Codes    bool   // of apps can be had
	Passkeys bool   // can be had
	Issuer   string // by which people can log in too
	Setup    *setup
	Recovery []string
	Fresh    bool

	NoPassword bool // who is to prove again who it is has none
	ByIssuer   bool // … and may by the issuer
}

func (h *Pages) view(a *edge.Answer, title string) *view {
	v := &view{Title: title, Base: a.PublicPath(""), Passkeys: h.People != nil && h.People.Passkeys()}
	if h.People != nil {
		v.Issuer = h.People.Issuer()
	}
	if u := a.Public(); u != nil {
		v.Host = u.Host
	}
	return v
}

// write answers with a page.
func write(a *edge.Answer, status int, name string, v *view) error {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, v); err != nil {
		return err
	}
	a.WritePage(status, policy, page.Bytes())
	return nil
}

// nobody says why there is no login.
func (h *Pages) nobody(a *edge.Answer) error {
	v := h.view(a, "Sign in")
	if h.Open {
		v.Said = "open"
	}
	return write(a, http.StatusOK, "nobody.html", v)
}

// refuse shows a refusal as a page.
func (h *Pages) refuse(a *edge.Answer, r *http.Request, e *httpapi.Error) {
	if e.Code == httpapi.StepUp {
		_ = goTo(a, r, withBack(againPath, a.PublicPath(accountPath))) // it can't fail
		return
	}
	if e.RetryAfter > 0 {
		a.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
	}
	v := h.view(a, e.Title)
	v.Wrong = e.Detail
	_ = write(a, e.Status, "refused.html", v) // the template is ours
}

func query(r *http.Request, name string) string { return r.URL.Query().Get(name) }

// show is the login page.
func (h *Pages) show(a *edge.Answer, r *http.Request) error {
	back := ownPath(a, query(r, "return_to"))
	if a.Who != nil && a.Who.Session != nil {
		if back == "" {
			back = a.PublicPath(home)
		}
		a.Header().Set("Location", back)
		a.WriteHeader(http.StatusSeeOther)
		return nil
	}
	v := h.view(a, "Sign in")
	v.Back = back
	return write(a, http.StatusOK, "login.html", v)
}

func (h *Pages) login(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	back := ownPath(a, f.Get("return_to"))
	o, err := h.People.Login(r.Context(), client(a, r), nil, f.Get("email"), f.Get("password"))
	if err != nil {
		v := h.view(a, "Sign in")
		v.Back, v.Email = back, access.Plain(f.Get("email"), 254)
		return h.failed(a, r, err, "login.html", v, "E-mail and password don’t belong together.")
	}
	return took(a, r, o, back)
}

// failed shows a form again, with what was wrong.
func (h *Pages) failed(a *edge.Answer, r *http.Request, err error, name string, v *view, wrong string) error {
	status, text, ok := worded(err)
	if !ok {
		return unread(r.Context(), err)
	}
	var wait *people.WaitError
	if errors.As(err, &wait) {
		a.Header().Set("Retry-After", strconv.Itoa(int(wait.After/time.Second)+1))
	}
	if v.Wrong = text; text == "" {
		v.Wrong = wrong
	}
	return write(a, status, name, v)
}

func (h *Pages) showCode(a *edge.Answer, r *http.Request) error {
	if c, err := r.Cookie(pendingCookie); err != nil || c.Value == "" {
		return goTo(a, r, loginPath)
	}
	v := h.view(a, "Code of your app")
	v.Back = ownPath(a, query(r, "return_to"))
	return write(a, http.StatusOK, "code.html", v)
}

func (h *Pages) code(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	back := ownPath(a, f.Get("return_to"))
	c, err := r.Cookie(pendingCookie)
	if err != nil {
		return goTo(a, r, withBack(loginPath, back))
	}
	o, err := h.People.Second(r.Context(), client(a, r), c.Value, f.Get("code"))
	if errors.Is(err, people.ErrOver) {
		setCookie(a, pendingCookie, "", 0)
		v := h.view(a, "Sign in")
		v.Back, v.Wrong = back, "That took too long, or too many tries. Begin anew."
		return write(a, http.StatusUnprocessableEntity, "login.html", v)
	}
	if err != nil {
		v := h.view(a, "Code of your app")
		v.Back = back
		return h.failed(a, r, err, "code.html", v, "Not this code. Each works once, within a minute.")
	}
	return took(a, r, o, back)
}

func (h *Pages) showRegister(a *edge.Answer, r *http.Request) error {
	v := h.view(a, "Set your password")
	v.Link = query(r, "link")
	u, err := h.People.OpenLink(r.Context(), v.Link)
	if err != nil {
		return h.badLink(a, r, err)
	}
	v.User = u
	return write(a, http.StatusOK, "register.html", v)
}

func (h *Pages) badLink(a *edge.Answer, r *http.Request, err error) error {
	if !errors.Is(err, people.ErrLink) {
		return unread(r.Context(), err)
	}
	return httpapi.NewError(httpapi.NotFound,
		"The link was used, or is older than an hour. Ask for another one: enqueue users link makes it.")
}

func (h *Pages) register(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	link := f.Get("link")
	u, err := h.People.OpenLink(r.Context(), link)
	if err != nil {
		return h.badLink(a, r, err)
	}
	o, err := h.People.Register(r.Context(), client(a, r), link, f.Get("password"))
	if errors.Is(err, people.ErrLink) {
		return h.badLink(a, r, err)
	}
	if err != nil {
		v := h.view(a, "Set your password")
		v.Link, v.User = link, u
		return h.failed(a, r, err, "register.html", v, "")
	}
	return took(a, r, o, a.PublicPath(accountPath))
}
