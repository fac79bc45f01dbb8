package api

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

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

var listParams = edge.Params[listing]{
	{Name: "id", In: edge.Query, Schema: plainText(),
		Doc: "the jobs to wait for, each with the revision that the client knows: A.3,B.0; at most 100. " +
			"The answer has those that moved.",
		Read: func(to *listing, text string) (err error) {
			to.revs, err = httpapi.ParseRevs(text)
			return err
		}},
	waitParam("with id: wait this long for at least one to move", func(l *listing) *wish { return &l.wish }),
	edge.OneOf(edge.Param[listing]{Name: "until", In: edge.Query,
		Doc: "with id: what to wait for; a change is the default"},
		[]string{httpapi.UntilDone, httpapi.UntilChange}, func(to *listing, text string) { to.until = text }),
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
	edge.Whole(edge.Param[listing]{Name: "limit", In: edge.Query, Doc: "jobs in a page; 100 by default"},
		1, maxPage, func(to *listing, n int64) { to.filter.Limit = int(n) }),
	{Name: "cursor", In: edge.Query, Doc: "next of the page before", Schema: plainText(),
		Read: func(to *listing, text string) (err error) {
			to.filter.Before, err = parseCursor(text)
			return err
		}},
}

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
	if l.revs != nil {
		return h.waitForMany(a, r, &l)
	}
	if l.wish.set || l.until != "" {
		return httpapi.InvalidAt("?wait", "needs id: which jobs to wait for")
	}
	leave, err := h.enterScan(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	page, err := h.records.List(r.Context(), l.filter)
	if err != nil {
		return err
	}
	list := httpapi.JobList{Jobs: make([]job.Snapshot, len(page.Jobs)), Next: formatCursor(page.Next),
		Scanned: &page.Scanned, Complete: &page.Complete}
	for i, snap := range page.Jobs {
		list.Jobs[i] = h.show(snap)
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// Lists walk over many records, for requests of few bytes: some at a time keep
// Redis and us free for what jobs need.
const (
	maxScans     = 4               // lists under way
	scanPatience = 2 * time.Second // of the others
)

// enterScan waits for a list's turn. Who has it leaves.
func (h *Jobs) enterScan(ctx context.Context) (leave func(), err error) {
	leave = func() { <-h.scans }
	select {
	case h.scans <- struct{}{}:
		return leave, nil
	default:
	}
	patience := time.NewTimer(scanPatience)
	defer patience.Stop()
	select {
	case h.scans <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-patience.C:
		return nil, httpapi.NewError(httpapi.RateLimited, "too many lists are read, come back in some seconds").
			WithRetryAfter(time.Duration(1+rand.N(3)) * time.Second)
	}
}

// waitForMany is the long-poll for several jobs: it answers with those that
// moved, as soon as there is one.
func (h *Jobs) waitForMany(a *edge.Answer, r *http.Request, l *listing) error {
	if l.filter.State != "" || l.filter.Type != "" || l.filter.Before != "" {
		return httpapi.InvalidAt("?id", "goes with wait and until only")
	}
	wants := make([]hub.Want, len(l.revs))
	for i, r := range l.revs {
		wants[i] = hub.Want{ID: r.ID, After: r.Rev, Done: l.until == httpapi.UntilDone}
	}
	granted := h.waiter.Enter(a, l.wish.wait)
	if granted > 0 {
		l.wish.until = time.Now().Add(granted)
		defer h.waiter.Leave(a)
	}
	moved, err := h.waiter.Wait(r.Context(), granted, wants...)
	if err != nil {
		return err
	}
	list, err := h.seeMany(r.Context(), l, moved)
	if err != nil {
		return err
	}
	if l.wish.set {
		a.Header()[httpapi.HeaderWait] = []string{httpapi.FormatDuration(granted)}
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// seeMany is the answer: jobs as they are now.
func (h *Jobs) seeMany(ctx context.Context, l *listing, moved []job.Rev) (httpapi.JobList, error) {
	list := httpapi.JobList{Jobs: []job.Snapshot{}}
	ids := make([]job.ID, len(moved))
	for i, r := range moved {
		ids[i] = r.ID
	}
	ctx, cancel := afterWait(ctx, l.wish.until)
	defer cancel()
	readings, err := h.records.GetMany(ctx, ids)
	for i, r := range readings {
		if r.Err != nil {
			list.Missing = append(list.Missing, ids[i])
			continue
		}
		list.Jobs = append(list.Jobs, h.show(r.Snapshot))
	}
	return list, err
}
