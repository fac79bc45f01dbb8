package janitor

import (
	"context"
	"errors"
	"time"

	"longshore/job"
)

// How uploads in pieces are looked after: so many wait, and so many are looked
// at at once. The time is for a large one to be completed, which can take a
// bucket a while.
const (
	maxLooks    = 1000
	looksAtOnce = 4
	lookTimeout = time.Minute
)

var errLooksFull = errors.New("too many uploads wait to be looked after; they will be found again")

// lookAfter has an upload in pieces looked after soon. It doesn't wait, as
// forget doesn't.
func (j *Janitor) lookAfter(_ context.Context, id job.ID) error {
	return offer(j.looks, id, errLooksFull)
}

// lookAfterUploads looks after uploads in pieces until ctx ends. Those that wait
// then are found again by another process.
func (j *Janitor) lookAfterUploads(ctx context.Context) error {
	lookAfter := func(id job.ID) {
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		if err := j.submitter.LookAfter(look, id); err != nil && ctx.Err() == nil {
			j.log.WarnContext(ctx, "upload in pieces can't be looked after, and will be found again",
				"job_id", id, "error", err)
		}
	}
	together(looksAtOnce, func() { take(ctx, j.looks, lookAfter) })
	return nil
}
