package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/job"
)

// A Restored tells what Restore did.
type Restored struct {
	Counts

	Backup  string `json:"backup"`
	Resumed bool   `json:"resumed"`   // it was begun before
	Made    int64  `json:"jobs_made"` // by this call
	Ended   int64  `json:"jobs_ended_meanwhile"`
	// LimitsLeft are limits that can't hold here: of what runs or starts, on a Cluster.
	LimitsLeft []string `json:"limits_left_out,omitempty"`
}

// Restore puts a backup into an empty installation, none of whose programs run. Where it is ended in its
// midst it may be called again, and goes on; until it has come to its end no program opens the
// installation. Errors: those of this package, jobstore's of Vacant and BeginRestore, and connect's.
func Restore(ctx context.Context, c connect.Config, dir string) (done Restored, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return done, err
	}
	if err := m.verify(dir); err != nil {
		return done, err
	}
	r := &restoring{dir: dir, m: m, gone: map[job.ID]string{}}
	if err := r.look(ctx); err != nil {
		return done, err
	}
	sys, err := connect.OpenVacant(ctx, c, r.vacant)
	if err != nil {
		return done, err
	}
	r.sys, r.done.Counts, r.done.Backup = sys, m.Counts, m.ID
	return r.done, errors.Join(r.run(ctx), sys.Close())
}

// A restoring is one call of Restore.
type restoring struct {
	sys  *connect.System
	dir  string
	m    Manifest
	done Restored
	gone map[job.ID]string // letters of jobs that have ended while the backup was written
}

// look reads which jobs have ended meanwhile, and whether all copied files are as they were: once the restore
// has begun no program opens the installation before it has ended, which it can't with a damaged file.
func (r *restoring) look(ctx context.Context) error {
	c := newCrew(ctx, func(_ context.Context, f file) error { return f.verify(r.dir) })
	err := eachLine(r.dir, partFiles, func(_ int64, f *file) error {
		if f.Gone {
			r.gone[f.Job] = cmp.Or(f.Letter, "g")
		}
		if f.File == "" {
			return nil
		}
		if !filepath.IsLocal(f.File) {
			return fmt.Errorf("%w: the file of %s is %q", ErrChanged, f.Blob, f.File)
		}
		return c.add(*f)
	})
	return errors.Join(err, c.end())
}

// vacant refuses what is no place for the backup, before anything is written.
func (r *restoring) vacant(ctx context.Context, sys *connect.System, place string) error {
	if r.m.Inputs == ByName && place != r.m.Place {
		return ErrPlace
	}
	going, err := sys.Store.Vacant(ctx, r.m.ID)
	if err != nil {
		return err
	}
	if r.done.Resumed = going; going {
		return nil
	}
	for what, look := range map[string]func() (int, error){
		"limits":         func() (int, error) { all, err := sys.Limits.Dump(ctx); return len(all), err },
		"keys or people": func() (int, error) { all, err := sys.Access.Dump(ctx); return len(all), err },
		"pauses":         func() (int, error) { all, err := sys.Desk.DumpPauses(ctx); return len(all), err },
		"functions":      func() (int, error) { all, _, err := sys.Functions.Dump(ctx); return len(all), err },
	} {
		n, err := look()
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: there are %s", jobstore.ErrNotEmpty, what)
		}
	}
	return nil
}

// run does it. Files come before what names them, limits before the jobs that they hold for.
func (r *restoring) run(ctx context.Context) error {
	records, err := r.sys.Store.BeginRestore(ctx, r.m.ID, r.m.Epoch)
	if err != nil {
		return err
	}
	defer records.Stop()
	if err := r.files(ctx); err != nil {
		return err
	}
	if err := r.rooms(ctx); err != nil {
		return err
	}
	batches := map[job.ID]jobstore.KeptBatch{}
	err = eachLine(r.dir, partBatches, func(_ int64, b *keptBatch) error {
		batches[b.ID] = b.KeptBatch
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.sys.Store.ShareBatches(ctx, batches); err != nil {
		return err
	}
	err = eachLine(r.dir, partJobs, func(n int64, k *jobstore.Kept) error {
		if letter, gone := r.gone[k.ID]; gone {
			r.done.Ended++
			return records.AddEnded(n, k, letter)
		}
		return records.Add(n, k)
	})
	made, bad, failed := records.Flush()
	r.done.Made, r.done.Damaged = made, r.done.Damaged+bad
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	if err := r.waits(ctx); err != nil {
		return err
	}
	if err := r.sys.Store.SealBatches(ctx, batches); err != nil {
		return err
	}
	return r.sys.Store.EndRestore(ctx, r.m.ID)
}

// files brings files to where jobs look for them. One that isn't there any more is its job's trouble.
func (r *restoring) files(ctx context.Context) error {
	var missing atomic.Int64
	c := newCrew(ctx, func(ctx context.Context, f file) error {
		err := bring(ctx, r.sys.Blobs, r.dir, f)
		if errors.Is(err, blob.ErrNotFound) {
			missing.Add(1)
			return nil
		}
		return err
	})
	err := eachLine(r.dir, partFiles, func(_ int64, f *file) error {
		if f.Gone || f.Lacks {
			return nil
		}
		return c.add(*f)
	})
	err = errors.Join(err, c.end())
	r.done.Missing += missing.Load()
	return err
}

func (r *restoring) rooms(ctx context.Context) error {
	for _, room := range []struct {
		part string
		load func(context.Context, map[string]string) error
	}{
		{partFunctions, r.sys.Functions.Load}, {partAccess, r.sys.Access.Load},
		{partPauses, r.sys.Desk.LoadPauses}, {partSchedules, r.sys.Store.LoadSchedules},
		{partLimits, func(ctx context.Context, all map[string]string) (err error) {
			r.done.LimitsLeft, err = r.sys.Limits.Load(ctx, all)
			return err
		}},
		{partTypes, r.sys.ClaimTypes.Load},
	} {
		if !slices.ContainsFunc(r.m.Parts, func(p Part) bool { return p.Name == fileOf(room.part) }) {
			continue // of a release that had none
		}
		all, err := readMap(r.dir, room.part)
		if err == nil {
			err = room.load(ctx, all)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// waits has jobs know how those end that they are after.
func (r *restoring) waits(ctx context.Context) error {
	c := newCrew(ctx, func(ctx context.Context, a after) error {
		return r.sys.Store.RestoreAfter(ctx, a.ID, a.Tenant, a.After, a.Letters)
	})
	err := eachLine(r.dir, partAfter, func(_ int64, a *after) error {
		if _, gone := r.gone[a.ID]; gone {
			return nil
		}
		return c.add(*a)
	})
	return errors.Join(err, c.end())
}
