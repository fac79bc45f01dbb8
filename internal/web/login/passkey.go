package login

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"longshore/internal/access"
	"longshore/internal/access/people"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// Passkeys are made and used by a script; what it says and hears is JSON.

const (
	passkeyPath    = loginPath + "/passkey"      // GET: what a browser needs to log in; POST: what it signed
	newPasskeyPath = loginPath + "/passkeys"     // the same for a new one
	endPasskeyPath = loginPath + "/passkeys/end" // by a form
	scriptPath     = loginPath + "/login.js"
)

func (h *Pages) passkeyRoutes() []edge.Route {
	inJSON := func(rt edge.Route) edge.Route {
		rt.Refuse = nil
		return rt
	}
	return []edge.Route{
		file(scriptPath, "login-script", "login.js", "text/javascript; charset=utf-8"),
		inJSON(h.visit("POST", passkeyPath+"/begin", "begin-passkey-login", h.beginPasskeyLogin)),
		inJSON(h.visit("POST", passkeyPath, "passkey-login", h.passkeyLogin)),
		inJSON(fresh(h.page("POST", newPasskeyPath+"/begin", "begin-passkey", h.beginPasskey))),
		inJSON(fresh(h.page("POST", newPasskeyPath, "add-passkey", h.addPasskey))),
		fresh(h.page("POST", endPasskeyPath, "end-passkey", h.endPasskey)),
	}
}

// passkeyError words what went wrong for a script.
func passkeyError(r *http.Request, err error) error {
	switch {
	case errors.Is(err, people.ErrNoPasskeys), errors.Is(err, people.ErrMany):
		return httpapi.NewError(httpapi.Conflict, err.Error())
	case errors.Is(err, people.ErrOver), errors.Is(err, people.ErrWrong):
		return httpapi.NewError(httpapi.Forbidden, "This passkey isn’t known here, or it took too long.")
	}
	if refused := waitRefusal(err); refused != nil {
		return refused
	}
	if _, text, ok := worded(err); ok {
		return httpapi.NewError(httpapi.Conflict, text)
	}
	return unread(r.Context(), err)
}

// credential reads what a browser has made or signed.
func credential(a *edge.Answer, r *http.Request) ([]byte, error) {
	if a.Body == nil {
		return nil, httpapi.NewError(httpapi.Invalid, "there is no body").WithStatus(http.StatusBadRequest)
	}
	a.Body.Limit(people.MaxCredential)
	return io.ReadAll(r.Body)
}

func (h *Pages) beginPasskeyLogin(a *edge.Answer, r *http.Request) error {
	options, name, err := h.People.BeginPasskeyLogin(r.Context(), client(a, r))
	if err != nil {
		return passkeyError(r, err)
	}
	setCookie(a, pendingCookie, name, pendingCookieLife)
	edge.WriteJSON(a, http.StatusOK, options)
	return nil
}

func (h *Pages) passkeyLogin(a *edge.Answer, r *http.Request) error {
	signed, err := credential(a, r)
	if err != nil {
		return err
	}
	c, err := r.Cookie(pendingCookie)
	if err != nil {
		return passkeyError(r, people.ErrOver)
	}
	var old *access.Session
	if a.Who != nil {
		old = a.Who.Session
	}
	o, err := h.People.PasskeyLogin(r.Context(), client(a, r), old, c.Value, signed)
	if err != nil {
		return passkeyError(r, err)
	}
	loggedIn(a, o)
	back := ownPath(a, query(r, "return_to"))
	if back == "" {
		back = a.PublicPath(home)
	}
	edge.WriteJSON(a, http.StatusOK, map[string]string{"location": back})
	return nil
}

func (h *Pages) beginPasskey(a *edge.Answer, r *http.Request) error {
	options, err := h.People.BeginPasskey(r.Context(), a.Who.Session)
	if err != nil {
		return passkeyError(r, err)
	}
	edge.WriteJSON(a, http.StatusOK, options)
	return nil
}

func (h *Pages) addPasskey(a *edge.Answer, r *http.Request) error {
	made, err := credential(a, r)
	if err != nil {
		return err
	}
	var named struct{ Name string }
	_ = json.Unmarshal(made, &named) // what is none has no name
	cookie, err := h.People.AddPasskey(r.Context(), client(a, r), a.Who.Session, named.Name, made)
	if err != nil {
		return passkeyError(r, err)
	}
	setCookie(a, edge.SessionCookie, cookie, access.SessionLife)
	edge.WriteJSON(a, http.StatusOK, map[string]string{"location": a.PublicPath(accountPath) + "?done=1"})
	return nil
}

func (h *Pages) endPasskey(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	cookie, err := h.People.RemovePasskey(r.Context(), client(a, r), a.Who.Session, f.Get("passkey"))
	if err != nil {
		return h.failedAccount(a, r, err, "")
	}
	return changed(a, r, cookie)
}
