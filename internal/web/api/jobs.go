package api

import (
	"context"
	"errors"
	"net/http"
	"time"

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
	scans   chan struct{} // has one for each list under way
}

// NewJobs returns the handler.
func NewJobs(records Records, waiter Waiter, show Show) *Jobs {
	return &Jobs{records, waiter, show, make(chan struct{}, maxScans)}
}

// Routes are what it serves.
func (h *Jobs) Routes() []edge.Route {
	const one = httpapi.PathJobs + "/{id}"
	return []edge.Route{
		{Op: edge.At("GET", httpapi.PathJobs, "list-jobs", "List jobs, newest first, or wait for several"),
			Access: edge.Bearer, Loose: true, Handle: edge.Typed(h.list)},
		{Op: edge.At("GET", one, "get-job", "A job as it is, or as soon as it has moved"),
			Access: edge.Bearer, Loose: true, Handle: edge.Typed(h.get), Quick: h.quickGet},
		{Op: edge.At("DELETE", one, "delete-job", "Delete a job that has ended, and its files"),
			Access: edge.Bearer, Handle: edge.Typed(h.delete)},
		{Op: edge.At("POST", one+"/cancel", "cancel-job", "Ask for a job's end"),
			Access: edge.Bearer, Handle: edge.Typed(h.cancel)},
		{Op: edge.At("GET", one+"/callback", "get-callback", "How the delivery of a job's webhook goes"),
			Access: edge.Bearer, Handle: edge.Typed(h.callback)},
	}
}

// callback tells how the delivery of a job's webhook goes.
func (h *Jobs) callback(ctx context.Context, in *idInput) (*callbackOutput, error) {
	cb, err := h.records.Callback(ctx, in.ID.ID)
	if errors.Is(err, job.ErrNoCallback) {
		return nil, httpapi.NewError(httpapi.NotFound, "the job was submitted without a callback_url")
	}
	if err != nil {
		return nil, err
	}
	return &callbackOutput{Body: cb}, nil
}

type callbackOutput struct{ Body job.Callback }

type getInput struct {
	ID          idParam              `path:"id" doc:"the job's id"`
	Wait        waitParam            `query:"wait" doc:"wait this long, as 25s; the server may cut it down, and says so in Longshore-Wait"`
	Until       string               `query:"until" enum:"done,change" doc:"what to wait for: the job's end, which is the default, or a change, which is it if after is given"`
	After       edge.Optional[int64] `query:"after" minimum:"0" doc:"the revision that the client knows"`
	IfNoneMatch string               `header:"If-None-Match"`
}

type jobOutput struct {
	Status int
	ETag   string `header:"ETag" doc:"the job's revision"`
	Wait   string `header:"Longshore-Wait" doc:"the longest wait that was granted"`
	Body   job.Snapshot
}

// get answers with a job as it is; with wait as soon as it has ended or
// changed, or as it is when the wait is over. A return promises no change.
func (h *Jobs) get(ctx context.Context, in *getInput) (*jobOutput, error) {
	granted, err := h.await(ctx, edge.AnswerOf(ctx), in)
	if err != nil {
		return nil, err
	}
	out, err := h.see(ctx, in)
	if err != nil {
		return nil, err
	}
	out.Wait = granted
	return out, nil
}

// await is the wait before the answer. It returns the longest one that was
// granted, "" if there was no wish.
func (h *Jobs) await(ctx context.Context, a *edge.Answer, in *getInput) (string, error) {
	if !in.Wait.set {
		return "", nil
	}
	granted := h.waiter.Enter(a, in.Wait.wait)
	if granted <= 0 {
		return httpapi.FormatDuration(granted), nil
	}
	defer h.waiter.Leave(a)
	in.Wait.until = time.Now().Add(granted)
	want, err := h.want(ctx, in)
	if err == nil {
		_, err = h.waiter.Wait(ctx, granted, want)
	}
	return httpapi.FormatDuration(granted), err
}

// see is the answer: the job as it is now.
func (h *Jobs) see(ctx context.Context, in *getInput) (*jobOutput, error) {
	ctx, cancel := afterWait(ctx, in.Wait.until)
	defer cancel()
	snap, err := h.records.Get(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	out := &jobOutput{Status: http.StatusOK, ETag: etag(snap), Body: h.show(snap)}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

func (h *Jobs) want(ctx context.Context, in *getInput) (hub.Want, error) {
	want := hub.Want{ID: in.ID.ID, After: in.After.Value}
	switch {
	case in.Until == httpapi.UntilDone, in.Until == "" && !in.After.Set:
		want.Done = true
	case !in.After.Set: // a change from what is now
		var err error
		want.After, err = h.revOf(ctx, want.ID)
		return want, err
	}
	return want, nil
}

// revOf has a frame of its own: a snapshot is large, and want stands below a wait.
//
//go:noinline
func (h *Jobs) revOf(ctx context.Context, id job.ID) (int64, error) {
	snap, err := h.records.Get(ctx, id)
	return snap.Rev, err
}

type idInput struct {
	ID idParam `path:"id" doc:"the job's id"`
}

// cancel answers 200 if the job has ended, 202 if its end is only asked for.
func (h *Jobs) cancel(ctx context.Context, in *idInput) (*jobOutput, error) {
	snap, err := h.records.Cancel(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	out := &jobOutput{Status: http.StatusOK, ETag: etag(snap), Body: h.show(snap)}
	if !snap.Done {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

func (h *Jobs) delete(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, h.records.Delete(ctx, in.ID.ID)
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
