package janitor

import (
	"context"
	"errors"
	"strings"
	"time"

	"longshore/internal/functions/registry"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/operate"
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
			j.sweepPartials(ctx, time.Now().Add(-partialAge)))
	})
}

// whole is nil while what Redis doesn't know is nobody's. Without what is kept nothing is sure.
func (j *Janitor) whole(ctx context.Context) error {
	loss, err := j.Vouch(ctx)
	if err == nil && loss.Is() {
		err = job.ErrStoreReset
	}
	return err
}

func (j *Janitor) sweepPartials(ctx context.Context, before time.Time) error {
	if err := j.whole(ctx); err != nil {
		return err
	}
	return j.submitter.SweepPartials(ctx, before)
}

// drop deletes what nobody knows, unless Redis has lost its data since that was asked.
func (j *Janitor) drop(ctx context.Context, name string) error {
	if err := j.store.Whole(ctx); err != nil {
		return err
	}
	return j.blobs.Delete(ctx, name)
}

func (j *Janitor) sweepOrphans(ctx context.Context, before time.Time) error {
	if _, err := j.blobs.SweepTemp(ctx, before); err != nil {
		return err
	}
	if err := j.whole(ctx); err != nil {
		return err
	}
	var functions, profiles []string
	for name, err := range j.blobs.Jobs(ctx, before) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, registry.BlobMark) {
			functions = append(functions, name)
			continue
		}
		if strings.HasPrefix(name, operate.ProfileMark) {
			profiles = append(profiles, name)
			continue
		}
		id, err := jobstore.ParseFolder(name)
		if err != nil {
			continue // not ours
		}
		there, err := j.store.Exists(ctx, []job.ID{id})
		if err != nil {
			return err
		}
		if !there[0] || name != jobstore.Folder(id) { // the other is of a record of format 2, which are gone
			if err := j.drop(ctx, name); err != nil {
				return err
			}
			j.log.InfoContext(ctx, "orphan blobs deleted", "job_id", name)
		}
	}
	return errors.Join(j.sweepKept(ctx, "function", functions, j.functions.Blobs),
		j.sweepKept(ctx, "profile", profiles, j.profiles))
}

// sweepKept deletes what was deployed once and no version names any more, and likewise profiles. No name is
// drawn twice, so none of them can come back.
func (j *Janitor) sweepKept(ctx context.Context, what string, names []string,
	keeps func(context.Context) (map[string]bool, error)) error {
	if len(names) == 0 {
		return nil
	}
	kept, err := keeps(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if kept[name] {
			continue
		}
		if err := j.drop(ctx, name); err != nil {
			return err
		}
		j.log.InfoContext(ctx, "blob that is kept no more deleted", "of", what, "blob", name)
	}
	return nil
}
