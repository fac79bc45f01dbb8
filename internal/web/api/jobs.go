package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Jobs serves jobs that are there: looks, long-polls and lists, and what is asked of one.
type Jobs struct {
	records Records
	waiter  Waiter
	show    Show
	scans   scans
}

// NewJobs returns the handler.
func NewJobs(records Records, waiter Waiter, show Show) *Jobs {
	return &Jobs{records, waiter, show, newScans()}
}

// Routes are what it serves.
func (h *Jobs) Routes() []edge.Route {
	const one = httpapi.PathJobs + "/{id}"
	at := func(method, path, name, summary string, params []*huma.Param) huma.Operation {
		op := edge.At(method, path, name, summary)
		op.Parameters = params
		return op
	}
	id, seen := oneJob.Describe(), map[string]string{"ETag": docETag}
	return []edge.Route{
		{Op: at("GET", httpapi.PathJobs, "list-jobs",
			"List jobs, newest first, or wait for several", listParams.Describe()),
			Access: edge.Bearer, Scope: access.JobsRead, Handle: h.list, Body: httpapi.JobList{},
			Headers: map[string]string{httpapi.HeaderWait: docWait}},
		{Op: at("GET", one, "get-job", "A job as it is, or as soon as it has moved", getParams.Describe()),
			Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.get, Body: job.Snapshot{},
			Headers: map[string]string{"ETag": docETag, httpapi.HeaderWait: docWait}},
		{Op: deleteOperation(id), Access: edge.Bearer, Scope: access.JobsCancel, Job: true, Handle: h.delete},
		{Op: at("POST", one+"/cancel", "cancel-job", "Ask for a job's end", id),
			Access: edge.Bearer, Scope: access.JobsCancel, Job: true, Handle: h.cancel, Body: job.Snapshot{},
			Headers: seen},
		{Op: at("POST", one+"/release", "release-job", "Let a job go that is held", id),
			Access: edge.Bearer, Scope: access.JobsRelease, Job: true, Handle: h.release,
			Body: job.Snapshot{}, Headers: seen},
		{Op: at("GET", one+"/callback", "get-callback", "How the delivery of a job's webhook goes", id),
			Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.callback, Body: job.Callback{}},
		{Op: resendOperation(id), Access: edge.Bearer, Scope: access.JobsCancel, Job: true, Whole: true,
			Handle: h.resend, Body: job.Callback{}},
	}
}

func deleteOperation(params []*huma.Param) huma.Operation {
	op := edge.At("DELETE", httpapi.PathJobs+"/{id}", "delete-job",
		"Delete a job that has ended, and its files")
	op.Parameters, op.DefaultStatus = params, http.StatusNoContent
	return op
}

// What headers of answers say.
const (
	docETag = "the job's revision"
	docWait = "the longest wait that was granted"
)

// callback tells how the delivery of a job's webhook goes.
func (h *Jobs) callback(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	cb, err := h.records.Callback(r.Context(), a.View(), id)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, cb)
	return nil
}

func resendOperation(params []*huma.Param) huma.Operation {
	op := edge.At("POST", httpapi.PathJobs+"/{id}/callback/resend", "resend-callback",
		"Send the webhook of a job that has ended once more")
	op.Parameters, op.DefaultStatus = params, http.StatusAccepted
	return op
}

// resend has a job's callback sent once more.
func (h *Jobs) resend(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	cb, err := h.records.Resend(r.Context(), a.View(), id, a.Who.Name())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusAccepted, cb)
	return nil
}

// A look is what is asked of one job.
type look struct {
	id          job.ID
	wish        wish
	until       string
	after       int64
	afterSet    bool
	ifNoneMatch string
}

var getParams = edge.Params[look]{
	idParam(func(to *look, id job.ID) { to.id = id }),
	waitParam("wait this long, as 25s; the server may cut it down, and says so in Longshore-Wait",
		func(l *look) *wish { return &l.wish }),
	edge.OneOf(edge.Param[look]{Name: "until", In: edge.Query,
		Doc: "what to wait for: the job's end, which is the default, or a change, which is it if after is given"},
		[]string{httpapi.UntilDone, httpapi.UntilChange}, func(to *look, text string) { to.until = text }),
	edge.Whole(edge.Param[look]{Name: "after", In: edge.Query, Doc: "the revision that the client knows"},
		0, 0, func(to *look, n int64) { to.after, to.afterSet = n, true }),
	{Name: "If-None-Match", In: edge.Header, Doc: "revisions that the client has: 304 if it is one of them",
		Schema: &huma.Schema{Type: huma.TypeString},
		Read:   func(to *look, text string) error { to.ifNoneMatch = text; return nil }},
}

// get answers with a job as it is; with wait as soon as it has ended or changed, or as
// it is when the wait is over. A return promises no change. Its frames are small until
// the wait is over: the stack is what a parked request holds most of, beside the
// buffers of its connection.
func (h *Jobs) get(a *edge.Answer, r *http.Request) error {
	var l look
	if err := getParams.ReadLoose(r, &l); err != nil {
		return err
	}
	granted, err := h.await(r.Context(), a, &l)
	if err != nil {
		return err
	}
	return h.see(a, r, &l, granted)
}

// await is the wait before the answer. It returns the longest one that was
// granted, "" if there was no wish.
func (h *Jobs) await(ctx context.Context, a *edge.Answer, l *look) (string, error) {
	if !l.wish.set {
		return "", nil
	}
	ctx.Done() // makes its channel here: made below the wait it would take most stacks from 4 to 8 KiB
	granted := h.waiter.Enter(a, l.wish.wait)
	if granted <= 0 {
		return httpapi.FormatDuration(granted), nil
	}
	defer h.waiter.Leave(a)
	l.wish.until = time.Now().Add(granted)
	want, err := h.want(ctx, a, l)
	if err == nil {
		_, err = h.waiter.Wait(ctx, a, granted, want)
	}
	return httpapi.FormatDuration(granted), err
}

// see is the answer: the job as it is now.
func (h *Jobs) see(a *edge.Answer, r *http.Request, l *look, granted string) error {
	ctx, cancel := afterWait(r.Context(), l.wish.until)
	defer cancel()
	snap, err := h.records.Get(ctx, a.View(), l.id)
	if err != nil {
		return err
	}
	if granted != "" {
		a.Header()[httpapi.HeaderWait] = []string{granted}
	}
	status := http.StatusOK
	if matches(l.ifNoneMatch, etag(snap)) {
		status = http.StatusNotModified
	}
	return writeJob(a, status, h.show(snap))
}

// texts keeps the room of answers; that of a large result is not kept.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// writeJob answers with a job.
func writeJob(a *edge.Answer, status int, snap job.Snapshot) error {
	room := texts.Get().(*[]byte)
	defer texts.Put(room)
	text := (*room)[:0]
	if status != http.StatusNotModified {
		var err error
		if text, err = httpapi.AppendSnapshot(text, &snap); err != nil {
			return err
		}
		if cap(text) <= 64<<10 {
			*room = text
		}
	}
	header := a.Header()
	header["Content-Type"] = edge.ContentJSON
	header["Etag"] = []string{etag(snap)}
	a.WriteHeader(status)
	if len(text) > 0 {
		_, _ = a.Write(text) // an error here is the client's going
	}
	return nil
}

func (h *Jobs) want(ctx context.Context, a *edge.Answer, l *look) (hub.Want, error) {
	want := hub.Want{ID: l.id, After: l.after}
	switch {
	case l.until == httpapi.UntilDone, l.until == "" && !l.afterSet:
		want.Done = true
	case !l.afterSet: // a change from what is now
		now, err := h.waiter.Wait(ctx, a, 0, hub.Want{ID: l.id, After: -1})
		if err != nil || len(now) == 0 {
			return want, err
		}
		want.After = now[0].Rev
	}
	return want, nil
}

// cancel answers 200 if the job has ended, 202 if its end is only asked for.
func (h *Jobs) cancel(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	snap, err := h.records.CancelBy(r.Context(), a.View(), id, a.Who.Name())
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !snap.Done {
		status = http.StatusAccepted
	}
	return writeJob(a, status, h.show(snap))
}

// release lets a held job go. A second time it says the same.
func (h *Jobs) release(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	snap, err := h.records.Release(r.Context(), a.View(), id, a.Who.Name())
	if err != nil {
		return err
	}
	return writeJob(a, http.StatusOK, h.show(snap))
}

func (h *Jobs) delete(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	if err := h.records.Delete(r.Context(), a.View(), id); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

// lastLook is what the read after a wait may take beyond the wait's end: whoever
// has waited is answered within a second of it, though Redis hangs.
const lastLook = 800 * time.Millisecond

// readsEnd is how long a read may take by itself: it may be behind another one in a
// Redis that hangs.
const readsEnd = 10 * time.Second

// afterWait is the context of that read; until is the wait's end, zero if there was none.
func afterWait(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if until.IsZero() || time.Until(until) > readsEnd {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until.Add(lastLook))
}
