package submit

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// runAnyway is what on_failure says of a job that runs whatever became of those before it.
const runAnyway = "run"

// holdFor is how long a job that is held is waited for, where its submission doesn't say.
const holdFor = 30 * 24 * time.Hour

// checkWaits checks what a job is to wait for, and fills in how long.
func checkWaits(n *jobstore.NewJob, r Request, bad func(pointer, detail string)) {
	if r.OnFailure != "" && len(r.After) == 0 && r.RetryOf == "" {
		bad("/on_failure", "is for a job that is after others")
	}
	if i := slices.Index(r.After, r.ID); r.ID != "" && i >= 0 {
		bad("/after/"+strconv.Itoa(i), "is the job itself")
	}
	if r.Hold != "" && n.ExpiresIn == 0 {
		n.ExpiresIn = max(holdFor, time.Until(n.RunAt)+holdFor)
	}
}

// checkAfter refuses a job that is after one that isn't there. A repeat finds its job even where those have
// gone.
func (d *Submitter) checkAfter(ctx context.Context, r Request, n *jobstore.NewJob) error {
	if len(r.After) == 0 || r.RetryOf != "" {
		return nil
	}
	if err := d.resolveNames(ctx, &r, n); err != nil {
		return err
	}
	mine := access.View{Tenant: r.Owner.Of(), Subject: r.fromSubject}
	readings, err := d.Store.Views().GetMany(ctx, mine, r.After)
	if err != nil {
		return refusal.Of(err)
	}
	for i, one := range readings {
		switch {
		case one.Err == nil:
		case !errors.Is(one.Err, job.ErrNotFound):
			return refusal.Of(one.Err)
		case d.repeats(ctx, n):
		case errors.Is(one.Err, job.ErrStoreReset):
			return refusal.Of(one.Err)
		default:
			return noSuchBefore(i)
		}
	}
	return nil
}

// repeats reports whether a request is a repeat of one that has made a job. An upload that died has made
// none.
func (d *Submitter) repeats(ctx context.Context, n *jobstore.NewJob) bool {
	if n.Digest == "" {
		return false
	}
	there, err := d.there(ctx, *n)
	return err == nil && there
}

func noSuchBefore(i int) error {
	return httpapi.InvalidAt("/after/"+strconv.Itoa(i), "there is no such job, or its retention is over")
}

// waitsStill makes a retry wait for what the old job waited for and hasn't got: jobs that are open, a
// release.
func (r *Request) waitsStill(ctx context.Context, d *Submitter, old *jobstore.Record) error {
	if old.Snapshot.Hold != nil && old.Snapshot.Hold.ReleasedAt == nil {
		r.Hold = old.Snapshot.Hold.Why
	}
	open := job.OpenOf(old.Snapshot.After)
	if len(open) == 0 {
		return nil
	}
	revs, err := d.Store.Revs(ctx, open)
	if err != nil {
		return refusal.Of(err)
	}
	for _, one := range revs {
		if !one.Done && !one.Missing {
			r.After = append(r.After, one.ID)
		}
	}
	if old.RunAnyway {
		r.OnFailure = runAnyway
	}
	return nil
}
