package edge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
)

// SessionCookie is where a browser keeps a person's session. Its name's beginning has browsers
// hold it to https (or localhost), this host alone, and all paths.
const SessionCookie = "__Host-longshore"

// LoginPath is where people log in.
const LoginPath = "/ui/login"

// A Sessioner is a Gate that knows people's sessions.
type Sessioner interface {
	Session(ctx context.Context, cookie string) (*access.Principal, error)
}

// people knows requests of people: pages of our own, with a session in a cookie.
type people struct {
	public   *url.URL // of the installation; nil = nobody logs in
	sessions Sessioner
}

// ours reports whether a request comes from a page of ours, or from no page at all: then its
// cookie counts. What browsers say by themselves decides, and the address that the settings
// name: the Host is the client's. Origins that CORS_ORIGINS names are not ours.
func (p people) ours(rt *Route, r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case site == "same-origin", site == "none":
		return true
	case rt.page() && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document":
		return true // somebody follows a link to a page, which does nothing by being opened
	case site != "":
		return false
	}
	return r.Header.Get("Origin") == origin(p.public)
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// session returns the principal of a request's cookie; nil: there is none that counts.
func (p people) session(rt *Route, r *http.Request) (*access.Principal, error) {
	if p.public == nil || p.sessions == nil {
		return nil, nil
	}
	c, err := r.Cookie(SessionCookie)
	if err != nil || c.Value == "" || !p.ours(rt, r) {
		return nil, nil
	}
	who, err := p.sessions.Session(r.Context(), c.Value)
	if errors.Is(err, access.ErrUnread) {
		return nil, err
	}
	if err != nil {
		return nil, nil // it has ended: as if there were none
	}
	return who, nil
}

// page reports whether people look at what a route answers.
func (rt *Route) page() bool { return rt.Access == Page || rt.Access == Visit }

// visit finds out who looks at a page that is for anybody, and refuses what another page sends.
func (g *guard) visit(rt *Route, a *Answer, r *http.Request) (err error) {
	if g.people.public == nil {
		return nil // the page says why there is nothing
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !g.people.ours(rt, r) {
		return httpapi.NewError(httpapi.Forbidden, "this came from a page that is not ours")
	}
	a.Who, err = g.people.session(rt, r)
	if err != nil {
		return unauthorized(err)
	}
	return nil
}

// stale refuses what admins do, long after they proved who they are.
func (rt *Route) stale(who *access.Principal, method string) error {
	if who.Session == nil || rt.Scope&(access.Admin|access.FunctionsDeploy) == 0 && !rt.Fresh ||
		method == http.MethodGet || method == http.MethodHead || who.Session.Fresh(time.Now()) {
		return nil
	}
	return httpapi.NewError(httpapi.StepUp, "prove again who you are, at "+LoginPath+"/again")
}

// LoginURL is where a page sends who isn't logged in; back is the path where he was, "" = none.
func (a *Answer) LoginURL(back string) string {
	to := a.edge.prefix() + LoginPath
	if back != "" {
		to += "?return_to=" + url.QueryEscape(back)
	}
	return to
}

// prefix is the path of the installation's address, as what proxies take away.
func (e *Edge) prefix() string {
	if e.Public == nil {
		return ""
	}
	return strings.TrimSuffix(e.Public.Path, "/")
}

// toLogin sends who opens a page and isn't logged in to where he can; false: it is no such
// request.
func (a *Answer) toLogin(rt *Route, r *http.Request, err error) bool {
	said := httpapi.AsError(err)
	if rt.Access != Page || said.Status != http.StatusUnauthorized || a.Begun() {
		return false
	}
	back := ""
	if r.Method == http.MethodGet {
		back = a.edge.prefix() + r.URL.RequestURI()
	}
	a.Header().Set("Location", a.LoginURL(back))
	a.WriteHeader(http.StatusSeeOther)
	return true
}

// WritePage answers with a page, an error's too. Its policy lets nothing in that is not ours.
func (a *Answer) WritePage(status int, policy string, page []byte) {
	a.mending = true // nothing is to be put in its place
	h := a.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	a.WriteHeader(status)
	_, _ = a.Write(page) // an error here is the client's going
}

// PublicPath is a path of ours as browsers ask for it.
func (a *Answer) PublicPath(path string) string { return a.edge.prefix() + path }

// Public is where browsers reach the installation; nil: nobody logs in.
func (a *Answer) Public() *url.URL { return a.edge.Public }
