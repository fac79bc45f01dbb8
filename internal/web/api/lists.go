package api

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

type listInput struct {
	IDs    revsParam   `query:"id" doc:"the jobs to wait for, each with the revision that the client knows: A.3,B.0; at most 100. The answer has those that moved."`
	Wait   waitParam   `query:"wait" doc:"with id: wait this long for at least one to move"`
	Until  string      `query:"until" enum:"done,change" doc:"with id: what to wait for; a change is the default"`
	State  string      `query:"state" enum:"uploading,scheduled,queued,running,retrying,succeeded,failed,canceled,expired" doc:"only jobs in this state"`
	Type   string      `query:"type" maxLength:"64" doc:"only jobs of this type"`
	Limit  int         `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"jobs in a page"`
	Cursor cursorParam `query:"cursor" doc:"next of the page before"`
}

// Resolve refuses unknown parameters of a list, where a typing error in a filter would
// show all jobs; a wait for several has none that matter.
func (in *listInput) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	query := at.Query()
	if query.Has("id") {
		return nil
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains([]string{"wait", "until", "state", "type", "limit", "cursor"}, name) {
			wrong = append(wrong, &huma.ErrorDetail{Location: "query." + name, Message: "unknown parameter"})
		}
	}
	return wrong
}

type listOutput struct {
	Wait string `header:"Longshore-Wait" doc:"the longest wait that was granted"`
	Body httpapi.JobList
}

func (h *Jobs) list(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.IDs.revs != nil {
		return h.waitForMany(ctx, in)
	}
	if in.Wait.set || in.Until != "" {
		return nil, httpapi.InvalidAt("?wait", "needs id: which jobs to wait for")
	}
	leave, err := h.enterScan(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	page, err := h.records.List(ctx, job.Filter{
		State: job.State(in.State), Type: in.Type, Limit: in.Limit, Before: in.Cursor.before,
	})
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: httpapi.JobList{Jobs: make([]job.Snapshot, len(page.Jobs)),
		Next: formatCursor(page.Next), Scanned: &page.Scanned, Complete: &page.Complete}}
	for i, snap := range page.Jobs {
		out.Body.Jobs[i] = h.show(snap)
	}
	return out, nil
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
func (h *Jobs) waitForMany(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.State != "" || in.Type != "" || in.Cursor.before != "" {
		return nil, httpapi.InvalidAt("?id", "goes with wait and until only")
	}
	wants := make([]hub.Want, len(in.IDs.revs))
	for i, r := range in.IDs.revs {
		wants[i] = hub.Want{ID: r.ID, After: r.Rev, Done: in.Until == httpapi.UntilDone}
	}
	out := &listOutput{Body: httpapi.JobList{Jobs: []job.Snapshot{}}}
	a := edge.AnswerOf(ctx)
	granted := h.waiter.Enter(a, in.Wait.wait)
	if in.Wait.set {
		out.Wait = httpapi.FormatDuration(granted)
	}
	if granted > 0 {
		in.Wait.until = time.Now().Add(granted)
		defer h.waiter.Leave(a)
	}
	moved, err := h.waiter.Wait(ctx, granted, wants...)
	if err != nil {
		return nil, err
	}
	ids := make([]job.ID, len(moved))
	for i, r := range moved {
		ids[i] = r.ID
	}
	ctx, cancel := afterWait(ctx, in.Wait.until)
	defer cancel()
	readings, err := h.records.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, r := range readings {
		if r.Err != nil {
			out.Body.Missing = append(out.Body.Missing, ids[i])
			continue
		}
		out.Body.Jobs = append(out.Body.Jobs, h.show(r.Snapshot))
	}
	return out, nil
}
