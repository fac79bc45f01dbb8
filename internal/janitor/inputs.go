package janitor

import (
	"context"
	"errors"
	"time"

	"longshore/job"
)

var errInputsFull = errors.New("too many inputs wait for their deletion, which comes later")

// eraseSoon has the input of an ended job deleted. It doesn't wait, as forget doesn't; what it leaves is
// found again.
func (j *Janitor) eraseSoon(_ context.Context, id job.ID) error {
	return offer(j.inputs, id, errInputsFull)
}

// deleteInputs deletes inputs that go before their jobs, until ctx ends.
func (j *Janitor) deleteInputs(ctx context.Context) error {
	together(goneAtOnce, func() {
		take(ctx, j.inputs, func(id job.ID) {
			if err := j.deleteInput(ctx, id); err != nil && ctx.Err() == nil {
				j.log.WarnContext(ctx, "an input can't be deleted, and is tried again", "job_id", id, "error", err)
			}
		})
	})
	return nil
}

// deleteInput deletes the input of a job that has ended. The record says so first, so that no retry takes
// up what is about to go; a process that dies in between leaves the rest to who is told of it next.
func (j *Janitor) deleteInput(ctx context.Context, id job.ID) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := j.store.Read(ctx, id)
	switch {
	case errors.Is(err, job.ErrNotFound): // all its files went with it
		return nil
	case err != nil:
		return err
	case r.Spec.Input == nil: // it never came whole, and what came has gone
		return gone(j.store.InputErased(ctx, id))
	}
	// A retry works on the file of the job that it retries.
	err = j.store.EraseInput(ctx, r.Spec.Input.Owner())
	if errors.Is(err, job.ErrInUse) {
		return nil // until those have ended who work on it too
	}
	if err := gone(err); err != nil {
		return err
	}
	if err := j.blobs.Remove(ctx, r.Spec.Input.Blob); err != nil {
		return err
	}
	return gone(j.store.InputErased(ctx, id))
}

// gone is err unless that says that the record has gone meanwhile, with all files.
func gone(err error) error {
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	return err
}
