package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A listing is what is asked of many jobs.
type listing struct {
	revs   []job.Rev
	wish   wish
	until  string
	filter job.Filter
	said   answer.JobFilter // what filter is to be, but for state, type, limit and cursor
	rows   bool

	tenant  string
	foreign []job.ID // those that aren't for who asks
}

// defaultPage and maxPage are how many jobs a page has.
const defaultPage, maxPage = 100, 1000

const maxTypeName = 64

func typeName() *huma.Schema {
	s, most := plainText(), maxTypeName
	s.MaxLength = &most
	return s
}

func plainText() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

var listParams = append(narrowParams(func(l *listing) *answer.JobFilter { return &l.said }),
	edge.Params[listing]{
		{Name: "id", In: edge.Query, Schema: plainText(),
			Doc: "the jobs to wait for, each with the revision that the client knows: A.3,B.0; at most 100. " +
				"The answer has those that moved.",
			Read: func(to *listing, text string) (err error) {
				to.revs, err = httpapi.ParseRevs(text)
				return err
			}},
		waitParam("with id: wait this long for at least one to move",
			func(l *listing) *wish { return &l.wish }),
		edge.OneOf(edge.Param[listing]{Name: "state", In: edge.Query, Doc: "only jobs in this state"},
			stateNames(), func(to *listing, text string) { to.filter.State = job.State(text) }),
		{Name: "type", In: edge.Query, Doc: "only jobs of this type", Schema: typeName(),
			Read: func(to *listing, text string) error {
				to.filter.Type = text
				if utf8.RuneCountInString(text) > maxTypeName {
					return fmt.Errorf("expected at most %d characters", maxTypeName)
				}
				return nil
			}},
		{Name: "tenant", In: edge.Query,
			Doc: "only jobs of this tenant, for who sees those of all; as header " +
				httpapi.HeaderTenant, Schema: plainText(),
			Read: func(to *listing, text string) error { to.tenant = text; return nil }},
		edge.Whole(edge.Param[listing]{Name: "limit", In: edge.Query, Doc: "jobs in a page; 100 by default"},
			1, maxPage, func(to *listing, n int64) { to.filter.Limit = int(n) }),
		{Name: "cursor", In: edge.Query, Doc: "next of the page before", Schema: plainText(),
			Read: func(to *listing, text string) error {
				to.filter.Cursor = text
				if _, err := base64.RawURLEncoding.DecodeString(text); err != nil || len(text) > maxCursor {
					return errCursor // a good one of another list is the store's to refuse
				}
				return nil
			}},
		edge.OneOf(edge.Param[listing]{Name: "view", In: edge.Query,
			Doc: "full, which is the default: jobs as GET /v1/jobs/{id} has them; or row: what a table shows of each"},
			[]string{viewRow, viewFull}, func(to *listing, text string) { to.rows = text == viewRow }),
	}...)

const maxCursor = 100

var errCursor = errors.New("expected the value of next of the page before")

func stateNames() []string {
	names := make([]string, len(job.States))
	for i, s := range job.States {
		names[i] = string(s)
	}
	return names
}

// list refuses unknown parameters, where a typing error in a filter would show all
// jobs; a wait for several has none that matter.
func (h *Jobs) list(a *edge.Answer, r *http.Request) error {
	l := listing{filter: job.Filter{Limit: defaultPage}}
	read := listParams.Read
	if r.URL.Query().Has("id") {
		read = listParams.ReadLoose
	}
	if err := read(r, &l); err != nil {
		return err
	}
	if err := l.narrow(); err != nil {
		return err
	}
	if l.tenant != "" {
		if err := a.ForTenant(l.tenant, "?tenant"); err != nil {
			return err
		}
	}
	if l.revs != nil {
		return h.waitForMany(a, r, &l)
	}
	if !a.Who.SeesAll() {
		return httpapi.NewError(httpapi.Forbidden, "the token is for some jobs: name them by ?id=")
	}
	if l.wish.set || l.until != "" {
		return httpapi.InvalidAt("?wait", "needs id: which jobs to wait for")
	}
	leave, err := h.scans.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	page, err := h.records.List(r.Context(), a.View(), l.filter)
	if err != nil {
		return err
	}
	if l.rows {
		return h.writeRows(a, page)
	}
	list := httpapi.JobList{Jobs: make([]job.Snapshot, len(page.Jobs)), Next: page.Next,
		Scanned: &page.Scanned, Complete: &page.Complete}
	for i, snap := range page.Jobs {
		list.Jobs[i] = h.show(snap)
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// waitForMany is the long-poll for several jobs: it answers with those that
// moved, as soon as there is one.
func (h *Jobs) waitForMany(a *edge.Answer, r *http.Request, l *listing) error {
	if !l.filter.All() || l.filter.Cursor != "" {
		return httpapi.InvalidAt("?id", "goes with wait and until only")
	}
	wants := make([]hub.Want, 0, len(l.revs))
	for _, r := range l.revs {
		if !a.Who.Sees(string(r.ID)) { // as if it were not there: nothing to wait for
			l.foreign = append(l.foreign, r.ID)
			continue
		}
		wants = append(wants, hub.Want{ID: r.ID, After: r.Rev, Done: l.until == httpapi.UntilDone})
	}
	if l.foreign != nil {
		return h.seeSome(a, r, l, wants)
	}
	granted := h.waiter.Enter(a, l.wish.wait)
	if granted > 0 {
		l.wish.until = time.Now().Add(granted)
		defer h.waiter.Leave(a)
	}
	moved, err := h.waiter.Wait(r.Context(), a, granted, wants...)
	if err != nil {
		return err
	}
	list, err := h.seeMany(r.Context(), a.View(), l, moved)
	if err != nil {
		return err
	}
	if l.wish.set {
		a.Header()[httpapi.HeaderWait] = []string{httpapi.FormatDuration(granted)}
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// seeSome is the answer to who asks for jobs of others too, which are missing: so there is
// no wait.
func (h *Jobs) seeSome(a *edge.Answer, r *http.Request, l *listing, wants []hub.Want) error {
	moved, err := h.waiter.Wait(r.Context(), a, 0, wants...)
	if err != nil {
		return err
	}
	list, err := h.seeMany(r.Context(), a.View(), l, moved)
	if err != nil {
		return err
	}
	list.Missing = append(list.Missing, l.foreign...)
	if l.wish.set {
		a.Header()[httpapi.HeaderWait] = []string{httpapi.FormatDuration(0)}
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// seeMany is the answer: jobs as they are now.
func (h *Jobs) seeMany(ctx context.Context, by access.View, l *listing,
	moved []job.Rev) (httpapi.JobList, error) {
	list := httpapi.JobList{Jobs: []job.Snapshot{}}
	ids := make([]job.ID, len(moved))
	for i, r := range moved {
		ids[i] = r.ID
	}
	ctx, cancel := afterWait(ctx, l.wish.until)
	defer cancel()
	readings, err := h.records.GetMany(ctx, by, ids)
	for i, r := range readings {
		if r.Err != nil {
			list.Missing = append(list.Missing, ids[i])
			if errors.Is(r.Err, job.ErrStoreReset) {
				list.StoreReset = append(list.StoreReset, ids[i])
			}
			continue
		}
		list.Jobs = append(list.Jobs, h.show(r.Snapshot))
	}
	return list, err
}
