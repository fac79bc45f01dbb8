package login

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image"
	"net/http"
	"slices"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/people"
	"longshore/internal/web/edge"
)

// account shows a person's account.
func (h *Pages) account(a *edge.Answer, r *http.Request) error {
	v, err := h.accountView(a, r)
	if err != nil {
		return err
	}
	if query(r, "done") != "" {
		v.Said = "Done. You are signed out everywhere else."
	}
	return write(a, http.StatusOK, "account.html", v)
}

func (h *Pages) accountView(a *edge.Answer, r *http.Request) (v *view, err error) {
	v = h.view(a, "Your account")
	if v.User, err = h.People.Account(r.Context(), a.Who.Session); err != nil {
		return nil, unread(r.Context(), err)
	}
	if v.Sessions, err = h.People.Sessions(r.Context(), v.User); err != nil {
		return nil, unread(r.Context(), err)
	}
	v.Session, v.Codes, v.Fresh = a.Who.Session, h.People.Codes(), a.Who.Session.Fresh(time.Now())
	return v, nil
}

// failedAccount shows the account again, with what was wrong.
func (h *Pages) failedAccount(a *edge.Answer, r *http.Request, err error, wrong string) error {
	if _, _, ok := worded(err); !ok {
		return unread(r.Context(), err)
	}
	v, why := h.accountView(a, r)
	if why != nil {
		return why
	}
	return h.failed(a, r, err, "account.html", v, wrong)
}

// changed goes back to the account, with the session that a change has begun.
func changed(a *edge.Answer, r *http.Request, cookie string) error {
	setCookie(a, edge.SessionCookie, cookie, access.SessionLife)
	return goTo(a, r, accountPath+"?done=1")
}

func (h *Pages) logout(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	id, own := f.Get("session"), a.Who.Session.ID
	if id == "" {
		id = own
	}
	if err := h.People.Logout(r.Context(), client(a, r), a.Who.Session, id); err != nil {
		return unread(r.Context(), err)
	}
	if id != own {
		return goTo(a, r, accountPath)
	}
	setCookie(a, edge.SessionCookie, "", 0)
	a.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return goTo(a, r, loginPath)
}

func (h *Pages) setPassword(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	cookie, err := h.People.SetPassword(r.Context(), client(a, r), a.Who.Session, f.Get("password"))
	if err != nil {
		return h.failedAccount(a, r, err, "")
	}
	return changed(a, r, cookie)
}

// showAgain asks who is logged in to prove who it is.
func (h *Pages) showAgain(a *edge.Answer, r *http.Request) error {
	v, err := h.againView(a, r, ownPath(a, query(r, "return_to")))
	if err != nil {
		return err
	}
	return write(a, http.StatusOK, "login.html", v)
}

func (h *Pages) againView(a *edge.Answer, r *http.Request, back string) (*view, error) {
	v := h.view(a, "Is it still you?")
	u, err := h.People.Account(r.Context(), a.Who.Session)
	if err != nil {
		return nil, unread(r.Context(), err)
	}
	v.User, v.Session, v.Email, v.Back = u, a.Who.Session, u.Email, back
	v.NoPassword, v.ByIssuer = u.Password == "", v.Issuer != "" && len(u.Identities) > 0
	return v, nil
}

func (h *Pages) again(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	back := ownPath(a, f.Get("return_to"))
	v, err := h.againView(a, r, back)
	if err != nil {
		return err
	}
	o, err := h.People.Login(r.Context(), client(a, r), a.Who.Session, v.Email, f.Get("password"))
	if err != nil {
		return h.failed(a, r, err, "login.html", v, "Not your password.")
	}
	return took(a, r, o, back)
}

// A setup is what an app needs, as a page shows it.
type setup struct {
	Secret string
	Size   int
	Path   template.HTMLAttr // of the QR code's dark squares
}

func (h *Pages) showCodes(a *edge.Answer, r *http.Request) error {
	v := h.view(a, "Codes of an app")
	u, err := h.People.Account(r.Context(), a.Who.Session)
	if err != nil {
		return unread(r.Context(), err)
	}
	if !a.Who.Session.Fresh(time.Now()) {
		return goTo(a, r, withBack(againPath, a.PublicPath(codesPath)))
	}
	if err := h.setup(a, r, v, u); err != nil {
		return h.failedAccount(a, r, err, "")
	}
	return write(a, http.StatusOK, "codes.html", v)
}

func (h *Pages) setup(a *edge.Answer, r *http.Request, v *view, u *access.User) error {
	made, err := h.People.BeginCodes(r.Context(), a.Who.Session, u)
	if err != nil {
		return err
	}
	v.User = u
	v.Setup = &setup{Secret: inGroups(made.Secret), Size: made.Image.Bounds().Dx(), Path: squares(made.Image)}
	return nil
}

func inGroups(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text[i:min(i+4, len(text))])
	}
	return b.String()
}

// squares draws the dark pixels of an image as one path, so that a page needs no other request.
// Rows that are equal are one.
func squares(m image.Image) template.HTMLAttr {
	var b bytes.Buffer
	bounds := m.Bounds()
	for y := 0; y < bounds.Dy(); {
		runs, high := darkRuns(m, y), 1
		for y+high < bounds.Dy() && slices.Equal(runs, darkRuns(m, y+high)) {
			high++
		}
		for i := 0; i < len(runs); i += 2 {
			fmt.Fprintf(&b, "M%d %dh%dv%dh-%dz", runs[i], y, runs[i+1], high, runs[i+1])
		}
		y += high
	}
	return template.HTMLAttr(`d="` + b.String() + `"`) //nolint:gosec // numbers and letters of ours
}

// darkRuns are where dark pixels of a row begin, and how many they are.
func darkRuns(m image.Image, y int) (runs []int) {
	bounds := m.Bounds()
	for x := 0; x < bounds.Dx(); x++ {
		begin := x
		for x < bounds.Dx() && dark(m, bounds.Min.X+x, bounds.Min.Y+y) {
			x++
		}
		if x > begin {
			runs = append(runs, begin, x-begin)
		}
	}
	return runs
}

func dark(m image.Image, x, y int) bool {
	r, _, _, _ := m.At(x, y).RGBA()
	return r < 0x8000
}

func (h *Pages) confirmCodes(a *edge.Answer, r *http.Request) error {
	f, err := form(a, r)
	if err != nil {
		return err
	}
	cookie, recovery, err := h.People.ConfirmCodes(r.Context(), client(a, r), a.Who.Session, f.Get("code"))
	if errors.Is(err, people.ErrOver) {
		return goTo(a, r, codesPath)
	}
	v := h.view(a, "Codes of an app")
	if err != nil {
		u, why := h.People.Account(r.Context(), a.Who.Session)
		if why == nil {
			why = h.setup(a, r, v, u)
		}
		if why != nil {
			return unread(r.Context(), why)
		}
		return h.failed(a, r, err, "codes.html", v, "Not this code. Is the clock of your phone right?")
	}
	setCookie(a, edge.SessionCookie, cookie, access.SessionLife)
	v.Recovery = recovery
	return write(a, http.StatusOK, "recovery.html", v)
}

func (h *Pages) endCodes(a *edge.Answer, r *http.Request) error {
	if _, err := form(a, r); err != nil {
		return err
	}
	cookie, err := h.People.EndCodes(r.Context(), client(a, r), a.Who.Session)
	if err != nil {
		return h.failedAccount(a, r, err, "")
	}
	return changed(a, r, cookie)
}
