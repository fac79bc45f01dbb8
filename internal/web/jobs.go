package web

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/job"
)

// show completes a snapshot with what the record doesn't know: paths, and what
// the job waits for.
func (s *Server) show(snap job.Snapshot) job.Snapshot {
	if !snap.Done && s.WaitingFor != nil {
		snap.WaitingFor = s.WaitingFor(&snap)
	}
	return httpapi.Show(snap)
}

// callback tells how the delivery of a job's webhook goes.
func (s *Server) callback(ctx context.Context, in *idInput) (*callbackOutput, error) {
	cb, err := s.Records.Callback(ctx, in.ID.ID)
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
	ID          idParam         `path:"id" doc:"the job's id"`
	Wait        waitParam       `query:"wait" doc:"wait this long, as 25s; the server may cut it down, and says so in Longshore-Wait"`
	Until       string          `query:"until" enum:"done,change" doc:"what to wait for: the job's end, which is the default, or a change, which is it if after is given"`
	After       optional[int64] `query:"after" minimum:"0" doc:"the revision that the client knows"`
	IfNoneMatch string          `header:"If-None-Match"`
}

type jobOutput struct {
	Status int
	ETag   string `header:"ETag" doc:"the job's revision"`
	Wait   string `header:"Longshore-Wait" doc:"the longest wait that was granted"`
	Body   job.Snapshot
}

// getJob answers with a job as it is; with wait as soon as it has ended or
// changed, or as it is when the wait is over. A return promises no change.
func (s *Server) getJob(ctx context.Context, in *getInput) (*jobOutput, error) {
	granted, err := s.awaitJob(ctx, answerOf(ctx), in)
	if err != nil {
		return nil, err
	}
	out, err := s.seeJob(ctx, in)
	if err != nil {
		return nil, err
	}
	out.Wait = granted
	return out, nil
}

// awaitJob is the wait before the answer. It returns the longest one that was
// granted, "" if there was no wish.
func (s *Server) awaitJob(ctx context.Context, a *answer, in *getInput) (string, error) {
	if !in.Wait.set {
		return "", nil
	}
	granted := s.grant(a, in.Wait.wait)
	if granted <= 0 {
		return httpapi.FormatDuration(granted), nil
	}
	defer s.waiters.leave(a.client)
	in.Wait.until = time.Now().Add(granted)
	want, err := s.want(ctx, in)
	if err == nil {
		_, err = s.wait(ctx, granted, want)
	}
	return httpapi.FormatDuration(granted), err
}

// seeJob is the answer: the job as it is now.
func (s *Server) seeJob(ctx context.Context, in *getInput) (*jobOutput, error) {
	ctx, cancel := afterWait(ctx, in.Wait.until)
	defer cancel()
	snap, err := s.Records.Get(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	out := &jobOutput{Status: http.StatusOK, ETag: etag(snap), Body: s.show(snap)}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

func (s *Server) want(ctx context.Context, in *getInput) (hub.Want, error) {
	want := hub.Want{ID: in.ID.ID, After: in.After.Value}
	switch {
	case in.Until == httpapi.UntilDone, in.Until == "" && !in.After.set:
		want.Done = true
	case !in.After.set: // a change from what is now
		var err error
		want.After, err = s.revOf(ctx, want.ID)
		return want, err
	}
	return want, nil
}

// revOf has a frame of its own: a snapshot is large, and want stands below a wait.
//
//go:noinline
func (s *Server) revOf(ctx context.Context, id job.ID) (int64, error) {
	snap, err := s.Records.Get(ctx, id)
	return snap.Rev, err
}

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

func (s *Server) listJobs(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.IDs.revs != nil {
		return s.waitForMany(ctx, in)
	}
	if in.Wait.set || in.Until != "" {
		return nil, invalid("?wait", "needs id: which jobs to wait for")
	}
	leave, err := s.enterScan(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	page, err := s.Records.List(ctx, job.Filter{
		State: job.State(in.State), Type: in.Type, Limit: in.Limit, Before: in.Cursor.before,
	})
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: httpapi.JobList{Jobs: make([]job.Snapshot, len(page.Jobs)), Next: formatCursor(page.Next),
		Scanned: &page.Scanned, Complete: &page.Complete}}
	for i, snap := range page.Jobs {
		out.Body.Jobs[i] = s.show(snap)
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
func (s *Server) enterScan(ctx context.Context) (leave func(), err error) {
	leave = func() { <-s.scans }
	select {
	case s.scans <- struct{}{}:
		return leave, nil
	default:
	}
	patience := time.NewTimer(scanPatience)
	defer patience.Stop()
	select {
	case s.scans <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-patience.C:
		e := httpapi.NewError(httpapi.RateLimited, "too many lists are read, come back in some seconds")
		e.RetryAfter = time.Duration(1+rand.N(3)) * time.Second
		return nil, e
	}
}

// waitForMany is the long-poll for several jobs: it answers with those that
// moved, as soon as there is one.
func (s *Server) waitForMany(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.State != "" || in.Type != "" || in.Cursor.before != "" {
		return nil, invalid("?id", "goes with wait and until only")
	}
	wants := make([]hub.Want, len(in.IDs.revs))
	for i, r := range in.IDs.revs {
		wants[i] = hub.Want{ID: r.ID, After: r.Rev, Done: in.Until == httpapi.UntilDone}
	}
	out := &listOutput{Body: httpapi.JobList{Jobs: []job.Snapshot{}}}
	a := answerOf(ctx)
	granted := s.grant(a, in.Wait.wait)
	if in.Wait.set {
		out.Wait = httpapi.FormatDuration(granted)
	}
	var moved []job.Rev
	var err error
	if granted > 0 {
		in.Wait.until = time.Now().Add(granted)
		defer s.waiters.leave(a.client)
		moved, err = s.wait(ctx, granted, wants...)
	} else {
		moved, err = s.Hub.Look(ctx, wants...)
	}
	if err != nil {
		return nil, err
	}
	ids := make([]job.ID, len(moved))
	for i, r := range moved {
		ids[i] = r.ID
	}
	ctx, cancel := afterWait(ctx, in.Wait.until)
	defer cancel()
	readings, err := s.Records.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, r := range readings {
		if r.Err != nil {
			out.Body.Missing = append(out.Body.Missing, ids[i])
			continue
		}
		out.Body.Jobs = append(out.Body.Jobs, s.show(r.Snapshot))
	}
	return out, nil
}

type idInput struct {
	ID idParam `path:"id" doc:"the job's id"`
}

// cancelJob answers 200 if the job has ended, 202 if its end is only asked for.
func (s *Server) cancelJob(ctx context.Context, in *idInput) (*jobOutput, error) {
	snap, err := s.Records.Cancel(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	out := &jobOutput{Status: http.StatusOK, ETag: etag(snap), Body: s.show(snap)}
	if !snap.Done {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

type acceptedOutput struct {
	Status   int
	Location string `header:"Location" doc:"the job's path"`
	ETag     string `header:"ETag" doc:"the job's revision"`
	ID       string `header:"Longshore-Job" doc:"the job's id"`
	Wait     string `header:"Longshore-Wait" doc:"the longest wait that was granted"`
	Applied  string `header:"Preference-Applied" doc:"the wait that was granted, in seconds"`
	Body     job.Snapshot
}

// accepted is the answer to who made a job. It is 202 even where a worker was
// fast enough to have ended the job by now, unless the client reckons with that:
// it asked for the end, or repeats itself.
func (s *Server) accepted(snap job.Snapshot, reckoned bool) *acceptedOutput {
	out := &acceptedOutput{Status: http.StatusAccepted, ETag: etag(snap), ID: string(snap.ID), Body: s.show(snap)}
	out.Location = out.Body.Links.Self
	if snap.Done && reckoned {
		out.Status = http.StatusOK
	}
	return out
}

func (s *Server) retryJob(ctx context.Context, in *idInput) (*acceptedOutput, error) {
	snap, err := s.Door.Retry(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	return s.accepted(snap, false), nil
}

func (s *Server) deleteJob(ctx context.Context, in *idInput) (*struct{}, error) {
	return nil, s.Records.Delete(ctx, in.ID.ID)
}
