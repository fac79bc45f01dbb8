package claims

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"longshore/answer"
	"longshore/internal/gather"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/strictjson"
	"longshore/job"
)

// maxRetryIn bounds how long a job may be put off.
const maxRetryIn = 366 * 24 * time.Hour

// Finish records how claimed jobs have ended, each by itself.
func (d *Desk) Finish(ctx context.Context, who Who, jobs []answer.FinishJob) []answer.FinishedJob {
	told := make([]answer.FinishedJob, len(jobs))
	var wg sync.WaitGroup
	for i := range jobs {
		told[i].ID = jobs[i].ID
		wg.Go(func() {
			state, rev, err := d.finish(ctx, who, &jobs[i])
			if err != nil {
				problem := refusal.Of(err)
				told[i].Problem = answer.ProblemOf(problem)
				if problem.Code == httpapi.Internal && ctx.Err() == nil {
					d.Log.ErrorContext(ctx, "end of a claimed job not recorded", "job_id", jobs[i].ID, "error", err)
				}
				return
			}
			told[i].State, told[i].Rev = state, rev
		})
	}
	wg.Wait()
	return told
}

// ends is what a request says of one job.
func ends(f *answer.FinishJob) (jobstore.End, error) {
	said := 0
	for _, is := range []bool{f.Result != nil, f.Error != nil, f.Fail != nil, f.RetryIn != "", f.Release} {
		if is {
			said++
		}
	}
	if said != 1 {
		return jobstore.End{}, httpapi.InvalidAt("", "expected one of result, error, fail, retry_in and release")
	}
	if len(f.Outputs) > 0 && f.Result == nil {
		return jobstore.End{}, httpapi.InvalidAt("/outputs", "only what has succeeded has outputs")
	}
	switch {
	case f.Result != nil:
		return succeeded(f.Result)
	case f.Error != nil:
		return failure(f.Error, "/error", jobstore.Retry)
	case f.Fail != nil:
		return failure(f.Fail, "/fail", jobstore.Failed)
	case f.RetryIn != "":
		after, err := httpapi.ParseDuration(f.RetryIn)
		if err != nil || after <= 0 || after > maxRetryIn {
			return jobstore.End{}, httpapi.InvalidAt("/retry_in", "expected a duration over 0, as 30s, up to 8784h")
		}
		return jobstore.End{Outcome: jobstore.Release, Delay: max(after, time.Millisecond)}, nil
	}
	return jobstore.End{Outcome: jobstore.Release}, nil
}

func succeeded(result json.RawMessage) (jobstore.End, error) {
	if len(result) > job.MaxDocument {
		return jobstore.End{}, httpapi.InvalidAt("/result", fmt.Sprintf("is over %d bytes; send data as an output",
			job.MaxDocument))
	}
	if err := strictjson.Check(result); err != nil {
		return jobstore.End{}, httpapi.InvalidAt("/result", err.Error())
	}
	var text bytes.Buffer
	if err := json.Compact(&text, result); err != nil {
		return jobstore.End{}, httpapi.InvalidAt("/result", "is no JSON")
	}
	end := jobstore.End{Outcome: jobstore.Succeeded, Result: text.Bytes()}
	if text.String() == "null" {
		end.Result = nil
	}
	return end, nil
}

func failure(f *answer.ClaimFailure, at string, outcome jobstore.Outcome) (jobstore.End, error) {
	end := jobstore.End{Outcome: outcome, Code: job.HandlerError, Message: f.Message}
	switch f.Code {
	case "", job.HandlerError:
	case job.Crashed, job.OutOfMemory:
		end.Code = f.Code
	default:
		return end, httpapi.InvalidAt(at+"/code", "expected handler_error, crashed or out_of_memory")
	}
	return end, nil
}

func (d *Desk) finish(ctx context.Context, who Who, f *answer.FinishJob) (job.State, int64, error) {
	end, err := ends(f)
	if err != nil {
		return "", 0, err
	}
	fence := jobstore.FenceOf(f.Claim)
	was, err := d.Store.Read(ctx, f.ID)
	if err != nil {
		return "", 0, err
	}
	if !who.View.Has(was.Owner) || !who.may(was.Snapshot.Type) {
		return "", 0, job.ErrNotFound
	}
	running := fence != "" && was.Fence == fence && was.Snapshot.State == job.Running
	var noted jobstore.Noted
	if running {
		if noted, err = d.prepare(ctx, was, f, &end); err != nil {
			return "", 0, err
		}
	}
	ended, err := d.Store.Finish(ctx, f.ID, fence, end)
	if errors.Is(err, jobstore.ErrLost) {
		return "", 0, lost()
	} else if err != nil {
		return "", 0, err
	}
	if (end.Outcome == jobstore.Succeeded) != (ended.State == job.Succeeded) && ended.State != job.Canceled {
		return "", 0, httpapi.NewError(httpapi.AlreadyFinished, "the attempt has ended otherwise before: the job is "+
			string(ended.State))
	}
	now, err := d.Store.Get(ctx, f.ID)
	if errors.Is(err, job.ErrNotFound) { // its retention was short
		return ended.State, 0, nil
	} else if err != nil {
		return "", 0, err
	}
	if running {
		d.clean(context.WithoutCancel(ctx), was, now, noted)
	}
	return now.State, now.Rev, nil
}

// prepare completes an end by what the run has sent, and returns what is known of that.
func (d *Desk) prepare(ctx context.Context, held jobstore.Record, f *answer.FinishJob, end *jobstore.End) (
	noted jobstore.Noted, err error) {
	if f.Log != nil {
		if err := d.say(ctx, held, f.Log); err != nil && !errors.Is(err, jobstore.ErrLost) {
			return noted, err // of one that is lost the script says whether a repeat of this ended it
		}
	}
	if end.Message != "" {
		end.Message = d.hider(held)(end.Message)
	}
	if end.Outcome == jobstore.Retry {
		end.Delay = jobstore.Backoff(held.Snapshot.Attempt)
	}
	if at := held.Snapshot.StartedAt; at != nil {
		end.Usage.WallMS = max(time.Since(*at).Milliseconds(), 0)
	}
	if noted, err = d.Store.Noted(ctx, held.Snapshot.ID, held.Fence); err != nil {
		return noted, err
	}
	for _, o := range f.Outputs {
		is, there := noted.Outputs[o.Name]
		if !there || is.Size != o.Size {
			detail := fmt.Sprintf("output %q was not sent, or is gone", o.Name)
			if there {
				detail = fmt.Sprintf("output %q has %d bytes, not %d", o.Name, is.Size, o.Size)
			}
			return noted, httpapi.NewError(httpapi.OutputMismatch, detail)
		}
		if slices.ContainsFunc(end.Outputs, func(other job.Output) bool { return other.Name == o.Name }) {
			return noted, httpapi.InvalidAt("/outputs", fmt.Sprintf("%q stands there twice", o.Name))
		}
		end.Outputs = append(end.Outputs, is)
	}
	return noted, nil
}

// clean drops what an ended run leaves: outputs that aren't the job's, as its record says, for another
// finish of the run may have named others; and what was noted of them. Its log becomes a file. Where that
// fails all of it goes with the job.
func (d *Desk) clean(ctx context.Context, was jobstore.Record, now job.Snapshot, noted jobstore.Noted) {
	id := was.Snapshot.ID
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var errs []error
	for _, name := range noted.Blobs {
		if !slices.ContainsFunc(now.Outputs, func(o job.Output) bool { return o.Blob == name }) {
			errs = append(errs, d.Blobs.Remove(ctx, name))
		}
	}
	if was.Spec.Gather != "" {
		errs = append(errs, d.Blobs.Delete(ctx, gather.Folder(id, was.Fence)))
	}
	if noted.Lines > 0 {
		errs = append(errs, d.storeLog(ctx, was, noted.Lines))
	}
	if noted.Lines > 0 || len(noted.Blobs) > 0 {
		errs = append(errs, d.Store.ForgetOutputs(ctx, id, was.Fence))
	}
	if err := errors.Join(errs...); err != nil {
		d.Log.WarnContext(ctx, "some of what a claimed job leaves goes with it later", "job_id", id, "error", err)
	}
	if now.Done {
		var took int64
		if now.Usage != nil {
			took = now.Usage.WallMS
		}
		d.Log.InfoContext(ctx, "job ended", "job_id", id, "type", now.Type, "state", now.State, "attempt",
			was.Snapshot.Attempt, "run_ms", took)
	}
}

// storeLog makes a file of a run's log. Another finish of the same run may have done so.
func (d *Desk) storeLog(ctx context.Context, was jobstore.Record, written int64) error {
	lines, err := d.Store.SaidLog(ctx, was.Snapshot.ID, was.Delivery)
	if err != nil || len(lines) == 0 {
		return err
	}
	if err := jobstore.WriteLog(ctx, d.Blobs, was.Snapshot.ID, was.Delivery, lines); err != nil {
		return err
	}
	return d.Store.Logged(ctx, was.Snapshot.ID, was.Delivery, was.Snapshot.Attempt, written)
}
