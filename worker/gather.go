package worker

import (
	"context"
	"errors"
	"fmt"

	"longshore/handlers"
	"longshore/internal/gather"
	"longshore/job"
)

// gather makes the input of a job that comes when a batch has ended: a line for each of the batch's jobs, of
// what became of it. Their records are kept for as long as the batch is, which this job uses. An attempt
// gathers anew, so nothing has to be there before the first one begins.
func (a *attempt) gather(ctx context.Context, run *handlers.Run) error {
	files := run.Files.(*files)
	in := gather.Input(a.ticket.ID, a.fence)
	size, err := gather.Write(ctx, a.worker.sys, a.worker.sys.Blobs, a.started.Spec.Gather, in.Blob)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return handlers.FailWith(job.DependencyGone, fmt.Errorf("batch %s is gone", a.started.Spec.Gather))
	case err != nil:
		return fmt.Errorf("gather what became of the batch's jobs: %w", err)
	}
	in.Size = size
	a.started.Spec.Input, files.spec.Input, run.InputSize = in, in, size
	return nil
}
