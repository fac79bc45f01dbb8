package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// A Reference names an output of another job as the input of a new one.
type Reference struct {
	Job    job.ID
	Output string // "" = the only one
}

// submitReference creates a job whose input is another job's file. Nothing is
// copied: the new job registers as its user first, so that it stays.
func (d *Submitter) submitReference(ctx context.Context, r Request,
	n jobstore.NewJob) (job.Snapshot, bool, error) {
	if r.gather != "" {
		if err := d.Store.Use(ctx, r.gather, n.ID); err != nil {
			return job.Snapshot{}, false, refusal.Of(err)
		}
		n.Spec.Gather = r.gather
		return d.create(ctx, n)
	}
	input, err := d.refer(ctx, r, n.ID)
	if err != nil {
		// A repeat must find its job even where the file is gone by now.
		if id, found := d.Store.Find(ctx, n); found == nil {
			snap, err := d.snapshot(ctx, id)
			return snap, false, err
		}
		return job.Snapshot{}, false, refusal.Of(err)
	}
	n.Spec.Input = input
	snap, created, err := d.create(ctx, n)
	known := err == nil || errors.Is(err, jobstore.ErrMismatch) ||
		errors.As(err, new(*jobstore.RetriedError)) || errors.As(err, new(*jobstore.DuplicateError))
	if known && !created && r.ID == "" { // an id of our own drawing, and no job has it
		d.unuse(ctx, input.Owner(), n.ID)
	}
	return snap, created, err
}

// unuse takes back a registration. Where that fails the sweep does it.
func (d *Submitter) unuse(ctx context.Context, owner, user job.ID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.Store.Unuse(ctx, owner, user); err != nil {
		d.Log.WarnContext(ctx, "files stay registered for a while", "job_id", owner, "error", err)
	}
}

// refer finds the file that a request refers to and registers its user.
func (d *Submitter) refer(ctx context.Context, r Request, user job.ID) (*jobstore.Input, error) {
	if r.input != nil { // a retry's: it may be another job's in turn
		use := d.Store.Use
		if r.DeleteInput != "" { // then it is the input of the job that was retried first, else it may be an output
			use = d.Store.UseInput
		}
		err := use(ctx, r.input.Owner(), user)
		if errors.Is(err, job.ErrNotFound) && !errors.Is(err, job.ErrStoreReset) {
			return nil, httpapi.NewError(httpapi.Conflict,
				"its input is gone: the retention of the job that it came from is over").Wrap(err)
		}
		return r.input, err
	}
	const pointer = "/input/job"
	mine := access.View{Tenant: r.Owner.Of(), Subject: r.fromSubject}
	owner, err := d.Store.Views().Get(ctx, mine, r.From.Job)
	switch {
	case errors.Is(err, job.ErrStoreReset):
		return nil, err
	case errors.Is(err, job.ErrNotFound):
		return nil, referenceError(httpapi.NotFound, pointer,
			"there is no such job, or its retention is over")
	case err != nil:
		return nil, err
	case !owner.Done:
		return nil, referenceError(httpapi.Conflict, pointer, "the job has not ended")
	case owner.State != job.Succeeded:
		return nil, referenceError(httpapi.Conflict, pointer,
			fmt.Sprintf("the job ended %s and has no outputs", owner.State))
	}
	output, err := pickOutput(owner.Outputs, r.From.Output)
	if err != nil {
		return nil, err
	}
	switch err := d.Store.Views().Use(ctx, mine, owner.ID, user); {
	case errors.Is(err, job.ErrStoreReset):
		return nil, err
	case errors.Is(err, job.ErrNotFound): // it went in between
		return nil, referenceError(httpapi.NotFound, pointer,
			"there is no such job, or its retention is over")
	case err != nil:
		return nil, err
	}
	return &jobstore.Input{Blob: output.Blob, Size: output.Size, SHA256: output.SHA256,
		ContentType: output.ContentType, Filename: output.Name}, nil
}

// pickOutput returns the output of that name, or the only one for "".
func pickOutput(outputs []job.Output, name string) (job.Output, error) {
	i := slices.IndexFunc(outputs, func(o job.Output) bool { return o.Name == name })
	switch {
	case i >= 0:
		return outputs[i], nil
	case name != "":
		return job.Output{}, referenceError(httpapi.Invalid, "/input/output",
			"the job has no output of this name")
	case len(outputs) == 1:
		return outputs[0], nil
	case len(outputs) == 0:
		return job.Output{}, referenceError(httpapi.Invalid, "/input/job", "the job has no outputs")
	}
	return job.Output{}, referenceError(httpapi.Invalid, "/input/output",
		"the job has several outputs: name one")
}

func referenceError(code httpapi.Code, pointer, detail string) error {
	e := httpapi.NewError(code, "the input can't be taken from that job")
	e.Errors = []httpapi.Pointer{{Pointer: pointer, Detail: detail}}
	return e
}
