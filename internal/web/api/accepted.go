package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// An accepted job is the answer to a submission.
type accepted struct {
	status int
	snap   job.Snapshot
	wait   string // the longest wait that was granted; "" = none was wished for
	there  string // "true": the job was there already
	prefer string // how much of Prefer was granted; "" = it wished for nothing
}

// acceptedHeaders describes the headers of that answer.
var acceptedHeaders = map[string]string{
	"Location": "the job's path", "ETag": docETag,
	httpapi.HeaderJob: "the job's id", httpapi.HeaderWait: docWait,
	httpapi.HeaderExisting:          "true, where no job was made: the key or the id named one that was there",
	httpapi.HeaderPreferenceApplied: "the wait that was granted, in seconds",
}

// accepted is the answer to who made a job. It is 202 even where a worker was
// fast enough to have ended the job by now, unless the client reckons with that:
// it asked for the end, or repeats itself.
func (h Submissions) accepted(snap job.Snapshot, reckoned bool) accepted {
	out := accepted{status: http.StatusAccepted, snap: h.Show(snap)}
	if snap.Done && reckoned {
		out.status = http.StatusOK
	}
	return out
}

func (h Submissions) retry(a *edge.Answer, r *http.Request) error {
	var id job.ID
	how := retrying{}
	if err := retryParams.Read(r, &how); err != nil {
		return err
	}
	id = how.id
	if err := how.read(a); err != nil {
		return err
	}
	if a.Who.Types != nil {
		old, err := h.Records.Get(r.Context(), a.View(), id)
		if err != nil {
			return err
		}
		if err := (&submit.Request{Type: old.Type}).Permit(a.Who, a.Tenant()); err != nil {
			return err
		}
	}
	snap, err := h.Submitter.Retry(r.Context(), a.View(), id, how.again)
	if err != nil {
		return err
	}
	return h.accepted(snap, false).write(a)
}

// waitForEnd makes the answer to an accepted submission, after the wait that
// the client wished for. The job is safe by now, so nothing here is an error.
func (h Submissions) waitForEnd(
	a *edge.Answer, r *http.Request, snap job.Snapshot, created bool, w wish,
) accepted {
	preferred, byPrefer := preferredWait(r.Header.Values(httpapi.HeaderPrefer))
	wanted := max(w.wait, preferred)
	granted := h.Waiter.Enter(a, wanted)
	if granted > 0 {
		defer h.Waiter.Leave(a)
	}
	if granted > 0 && !snap.Done {
		if _, err := h.Waiter.Wait(r.Context(), a, granted, hub.Want{ID: snap.ID, Done: true}); err == nil {
			if now, err := h.Records.Get(r.Context(), a.View(), snap.ID); err == nil {
				snap = now
			}
		}
	}
	out := h.accepted(snap, wanted > 0 || !created)
	if !created {
		out.there = "true"
	}
	if w.set {
		out.wait = httpapi.FormatDuration(granted)
	}
	if byPrefer {
		out.prefer = "wait=" + strconv.Itoa(int(granted/time.Second))
	}
	return out
}

func (out accepted) write(a *edge.Answer) error {
	h := a.Header()
	values := [...]string{out.snap.Links.Self, string(out.snap.ID), out.wait, out.there, out.prefer}
	for i, name := range [...]string{"Location", httpapi.HeaderJob, httpapi.HeaderWait,
		httpapi.HeaderExisting, httpapi.HeaderPreferenceApplied} {
		if values[i] != "" {
			h[name] = values[i : i+1 : i+1]
		}
	}
	return writeJob(a, out.status, out.snap)
}

func retryOperation() huma.Operation {
	op := edge.At("POST", httpapi.PathJobs+"/{id}/retry", "retry-job",
		"Submit a new job that does what an ended one did")
	op.DefaultStatus, op.Parameters = http.StatusAccepted, retryParams.Describe()
	op.RequestBody = edge.JSONBody[retryBody]()
	op.Description = "A job is retried once: again, a conflict names the job that is its retry."
	return op
}
