package login

import (
	"errors"
	"net/http"
	"time"

	"longshore/internal/access/people"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

const (
	issuerPath    = loginPath + "/issuer"
	endIssuerPath = issuerPath + "/end"
)

func (h *Pages) issuerRoutes() []edge.Route {
	return []edge.Route{
		h.visit("GET", issuerPath, "login-by-issuer", h.toIssuer),
		h.visit("GET", people.CallbackPath, "login-by-issuer-back", h.fromIssuer),
		fresh(h.page("POST", endIssuerPath, "end-issuer", h.endIssuer)),
	}
}

// toIssuer sends a browser to the issuer. It is a link, not a form: policies of forms hold for
// where they lead to, and that is another site.
func (h *Pages) toIssuer(a *edge.Answer, r *http.Request) error {
	e := people.Errand{Back: ownPath(a, query(r, "return_to"))}
	if link := query(r, "link") != ""; link || query(r, "again") != "" {
		if a.Who == nil || a.Who.Session == nil || link && !a.Who.Session.Fresh(time.Now()) {
			return goTo(a, r, withBack(againPath, a.PublicPath(accountPath)))
		}
		if r.Header.Get("Sec-Fetch-Site") != "same-origin" { // a link of our own page alone
			return httpapi.NewError(httpapi.Forbidden, "Begin this at your account.")
		}
		if e.Again = a.Who.Session; link {
			e.Link, e.Again, e.Back = a.Who.Session, nil, a.PublicPath(accountPath)
		}
	}
	to, name, err := h.People.BeginIssuer(r.Context(), client(a, r), e)
	if err != nil {
		return issuerError(r, err)
	}
	setCookie(a, pendingCookie, name, pendingCookieLife)
	a.Header().Set("Location", to)
	a.WriteHeader(http.StatusSeeOther)
	return nil
}

func (h *Pages) fromIssuer(a *edge.Answer, r *http.Request) error {
	c, err := r.Cookie(pendingCookie)
	if err != nil {
		return issuerError(r, people.ErrOver)
	}
	o, back, err := h.People.EndIssuer(r.Context(), client(a, r), c.Value, r.URL.Query())
	if err != nil {
		return issuerError(r, err)
	}
	return took(a, r, o, back)
}

func issuerError(r *http.Request, err error) error {
	say := func(code httpapi.Code, text string) error { return httpapi.NewError(code, text).Wrap(err) }
	if refused := waitRefusal(err); refused != nil {
		return refused
	}
	switch {
	case errors.Is(err, people.ErrNotAnew):
		return say(httpapi.Forbidden, "The issuer doesn’t say that you proved again who you are. "+
			"Sign out and in again, or prove it by a password or a passkey.")
	case errors.Is(err, people.ErrIssuerAway):
		return say(httpapi.Unavailable, "The issuer can’t be reached for the moment.")
	case errors.Is(err, people.ErrOver):
		return say(httpapi.Forbidden, "That took too long, or was begun in another browser. Begin anew.")
	case errors.Is(err, people.ErrUninvited):
		return say(httpapi.Forbidden,
			"Nobody has invited you: who has the machine’s Redis runs enqueue users add.")
	case errors.Is(err, people.ErrHasLogin):
		return say(httpapi.Forbidden,
			"You have another way to log in. Use it, then link this one from your account.")
	case errors.Is(err, people.ErrWrong):
		return say(httpapi.Forbidden, "The issuer didn’t let you in.")
	}
	return unread(r.Context(), err)
}

func (h *Pages) endIssuer(a *edge.Answer, r *http.Request) error {
	if _, err := form(a, r); err != nil {
		return err
	}
	cookie, err := h.People.EndIdentities(r.Context(), client(a, r), a.Who.Session)
	if err != nil {
		return h.failedAccount(a, r, err, "")
	}
	return changed(a, r, cookie)
}
