package janitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"longshore/job"
)

// How removed jobs are forgotten: so many wait, and so many are deleted at once.
// A bucket takes two requests for each.
const (
	maxGone    = 10_000
	goneAtOnce = 16
)

var errGoneFull = errors.New("too many removed jobs wait for the deletion of their files, which stay until they are found as orphans")

// forget has a removed job's blobs deleted soon. It doesn't wait: the sweep that
// removed the job mends leases too, and a blob store may be slow.
func (j *Janitor) forget(_ context.Context, id job.ID) error {
	select {
	case j.gone <- id:
		return nil
	default:
		return errGoneFull
	}
}

// deleteGone deletes blobs of removed jobs until ctx ends, and then those that
// wait, for a few seconds.
func (j *Janitor) deleteGone(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range goneAtOnce {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					j.deleteRest(context.WithoutCancel(ctx))
					return
				case id := <-j.gone:
					j.deleteBlobs(context.WithoutCancel(ctx), id)
				}
			}
		})
	}
	return nil
}

func (j *Janitor) deleteRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case id := <-j.gone:
			j.deleteBlobs(ctx, id)
		default:
			return
		}
	}
}

func (j *Janitor) deleteBlobs(ctx context.Context, id job.ID) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := j.blobs.Delete(ctx, string(id)); err != nil {
		j.log.WarnContext(ctx, "files of a removed job stay until they are found as orphans", "job_id", id, "error", err)
	}
}
