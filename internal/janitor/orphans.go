package janitor

import (
	"context"
	"errors"
	"time"

	"longshore/internal/loop"
	"longshore/job"
)

// orphanAge is how old a blob without a record must be to be deleted: an
// upload under way may not have its record's last word yet.
const orphanAge = 24 * time.Hour

// partialAge is the same for what is there of an upload in pieces, whose record
// names it a moment after it was begun.
const partialAge = time.Hour

// SweepOrphans deletes blobs that no record knows, again and again until ctx ends.
func (j *Janitor) SweepOrphans(ctx context.Context) error {
	return loop.Background(ctx, j.log, time.Hour, "sweep orphan blobs", func(ctx context.Context) error {
		return errors.Join(j.sweepOrphans(ctx, time.Now().Add(-orphanAge)),
			j.submitter.SweepPartials(ctx, time.Now().Add(-partialAge)))
	})
}

func (j *Janitor) sweepOrphans(ctx context.Context, before time.Time) error {
	if _, err := j.blobs.SweepTemp(ctx, before); err != nil {
		return err
	}
	for name, err := range j.blobs.Jobs(ctx, before) {
		if err != nil {
			return err
		}
		id, err := job.ParseID(name)
		if err != nil {
			continue // not ours
		}
		there, err := j.store.Exists(ctx, []job.ID{id})
		if err != nil {
			return err
		}
		if !there[0] {
			if err := j.blobs.Delete(ctx, name); err != nil {
				return err
			}
			j.log.InfoContext(ctx, "orphan blobs deleted", "job_id", name)
		}
	}
	return nil
}
