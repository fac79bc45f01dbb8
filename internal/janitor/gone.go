package janitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"longshore/internal/jobstore"
	"longshore/job"
)

// How removed jobs are forgotten: so many wait, and so many are deleted at once.
// A bucket takes two requests for each.
const (
	maxGone    = 10_000
	goneAtOnce = 16
)

var errGoneFull = errors.New(
	"too many removed jobs wait for the deletion of their files, which stay until they are found as orphans")

// forget has a removed job's blobs deleted soon. It doesn't wait: the sweep that
// removed the job mends leases too, and a blob store may be slow.
func (j *Janitor) forget(_ context.Context, id job.ID) error { return offer(j.gone, id, errGoneFull) }

// offer puts a job into a line without waiting for room.
func offer(line chan<- job.ID, id job.ID, full error) error {
	select {
	case line <- id:
		return nil
	default:
		return full
	}
}

// take does the jobs of a line, one after the other, until ctx ends.
func take(ctx context.Context, line <-chan job.ID, do func(job.ID)) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-line:
			do(id)
		}
	}
}

// together runs f so many times at once, and returns when all have ended.
func together(times int, f func()) {
	var wg sync.WaitGroup
	for range times {
		wg.Go(f)
	}
	wg.Wait()
}

// deleteGone deletes blobs of removed jobs until ctx ends, and then those that
// wait, for a few seconds.
func (j *Janitor) deleteGone(ctx context.Context) error {
	after := context.WithoutCancel(ctx)
	together(goneAtOnce, func() {
		take(ctx, j.gone, func(id job.ID) { j.deleteBlobs(after, id) })
		j.deleteRest(after)
	})
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
	if err := j.blobs.Delete(ctx, jobstore.Folder(id)); err != nil {
		j.log.WarnContext(ctx, "files of a removed job stay until they are found as orphans", "job_id", id,
			"error", err)
	}
}
