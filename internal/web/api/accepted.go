package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

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
func (h Submissions) accepted(snap job.Snapshot, reckoned bool) *acceptedOutput {
	out := &acceptedOutput{Status: http.StatusAccepted, ETag: etag(snap), ID: string(snap.ID),
		Body: h.Show(snap)}
	out.Location = out.Body.Links.Self
	if snap.Done && reckoned {
		out.Status = http.StatusOK
	}
	return out
}

func (h Submissions) retry(ctx context.Context, in *idInput) (*acceptedOutput, error) {
	snap, err := h.Submitter.Retry(ctx, in.ID.ID)
	if err != nil {
		return nil, err
	}
	return h.accepted(snap, false), nil
}

// waitForEnd makes the answer to an accepted submission, after the wait that
// the client wished for. The job is safe by now, so nothing here is an error.
func (h Submissions) waitForEnd(
	ctx context.Context, a *edge.Answer, snap job.Snapshot, created bool, wish waitParam, prefer []string,
) *acceptedOutput {
	preferred, byPrefer := preferredWait(prefer)
	wanted := max(wish.wait, preferred)
	granted := h.Waiter.Enter(a, wanted)
	if granted > 0 {
		defer h.Waiter.Leave(a)
	}
	if granted > 0 && !snap.Done {
		if _, err := h.Waiter.Wait(ctx, granted, hub.Want{ID: snap.ID, Done: true}); err == nil {
			if now, err := h.Records.Get(ctx, snap.ID); err == nil {
				snap = now
			}
		}
	}
	out := h.accepted(snap, wanted > 0 || !created)
	if wish.set {
		out.Wait = httpapi.FormatDuration(granted)
	}
	if byPrefer {
		out.Applied = "wait=" + strconv.Itoa(int(granted/time.Second))
	}
	return out
}

// writeAccepted answers a submission.
func writeAccepted(w http.ResponseWriter, out *acceptedOutput) error {
	text, err := httpapi.AppendSnapshot(nil, &out.Body)
	if err != nil {
		return err
	}
	h := w.Header()
	h["Content-Type"] = edge.ContentJSON
	values := [...]string{out.Location, out.ETag, out.ID, out.Wait, out.Applied}
	for i, name := range [...]string{"Location", "Etag", httpapi.HeaderJob, httpapi.HeaderWait,
		httpapi.HeaderPreferenceApplied} {
		if values[i] != "" {
			h[name] = values[i : i+1 : i+1]
		}
	}
	w.WriteHeader(out.Status)
	_, _ = w.Write(text) // an error here is the client's going
	return nil
}

func retryOperation() huma.Operation {
	op := edge.At("POST", httpapi.PathJobs+"/{id}/retry", "retry-job",
		"Submit a new job that does what an ended one did")
	op.DefaultStatus = http.StatusAccepted
	return op
}
