// Package release serves the page behind a link in a mail, by which a person lets a held job go. The
// link holds a page's token for that one job. To open it changes nothing, for scanners of mail open
// links too; its button does.
package release

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Records reads and releases jobs, as far as they are in a view.
type Records interface {
	Get(ctx context.Context, by access.View, id job.ID) (job.Snapshot, error)
	Release(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error)
}

// A Page shows why a job is held.
type Page struct{ Records Records }

const formPath = "/ui/release"

//go:embed release.html
var text string

var page = template.Must(template.New("").Parse(text))

// policy is what browsers let the page do.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Routes are what it serves.
func (h Page) Routes() []edge.Route {
	show := edge.At("GET", httpapi.PathJobs+"/{id}/release", "release-page", "")
	press := edge.At("POST", formPath+"/{id}", "release-form", "")
	show.Hidden, press.Hidden = true, true // for people, no part of the API
	return []edge.Route{
		{Op: show, Access: edge.Bearer, Scope: access.JobsRelease, Job: true, InAddress: true, Refuse: refuse,
			Handle: h.show},
		{Op: press, Access: edge.Bearer, Scope: access.JobsRelease, Job: true, InForm: true, Refuse: refuse,
			Handle: h.press},
	}
}

// A view is what the page shows.
type view struct {
	Title, Base, Host   string
	Type, ID, Why, Said string
	Held, Wrong         bool
	Token               string // for the button; "" = whoever asks has a session
}

func newView(a *edge.Answer, title string) view {
	v := view{Title: title, Base: a.PublicPath("")}
	if u := a.Public(); u != nil {
		v.Host = u.Host
	}
	return v
}

func write(a *edge.Answer, status int, v view) error {
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return err
	}
	a.WritePage(status, policy, b.Bytes())
	return nil
}

// refuse shows a refusal as a page.
func refuse(a *edge.Answer, _ *http.Request, e *httpapi.Error) {
	v := newView(a, e.Title)
	v.Said, v.Wrong = e.Detail, true
	switch e.Code {
	case httpapi.TokenExpired:
		v.Said = "This link has expired. Ask for a new one."
	case httpapi.Unauthorized:
		v.Said = "This link isn’t valid."
	}
	_ = write(a, e.Status, v) // the template is ours
}

// show says why the job is held. It changes nothing.
func (h Page) show(a *edge.Answer, r *http.Request) error {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return httpapi.NoSuchJob()
	}
	snap, err := h.Records.Get(r.Context(), a.View(), id)
	if err != nil {
		return err
	}
	return write(a, http.StatusOK, h.tell(a, &snap))
}

// press lets the job go.
func (h Page) press(a *edge.Answer, r *http.Request) error {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return httpapi.NoSuchJob()
	}
	snap, err := h.Records.Release(r.Context(), a.View(), id, a.Who.Name())
	if err != nil { // it may have ended, or never have been held: the page says so
		now, unread := h.Records.Get(r.Context(), a.View(), id)
		if unread != nil || now.Held() {
			return err
		}
		snap = now
	}
	return write(a, http.StatusOK, h.tell(a, &snap))
}

func (h Page) tell(a *edge.Answer, snap *job.Snapshot) view {
	v := newView(a, "Release a job")
	v.Type, v.ID = printable.Line(snap.Type), string(snap.ID)
	if snap.Hold != nil {
		v.Why = printable.Line(snap.Hold.Why)
	}
	switch {
	case snap.Held():
		v.Held, v.Token = true, a.Shown()
	case snap.Hold == nil:
		v.Title, v.Said = "Nothing to release", "This job was never held."
	case snap.Hold.ReleasedAt == nil:
		v.Title, v.Said = "Nothing to release", "The job has ended: "+string(snap.State)+"."
	default:
		v.Title, v.Said = "Released", "The job was released at "+
			snap.Hold.ReleasedAt.UTC().Format("2006-01-02 15:04 UTC")+", and is "+string(snap.State)+" now."
	}
	return v
}
