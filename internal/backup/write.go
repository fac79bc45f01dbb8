package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"longshore/internal/connect"
	"longshore/internal/jobstore"
	build "longshore/internal/version"
	"longshore/job"
)

// after is a line of part after.
type after struct {
	ID      job.ID   `json:"id"`
	Tenant  string   `json:"tenant"`
	After   []job.ID `json:"after"`
	Letters string   `json:"letters"` // how each has ended: jobstore.Letters
}

// keptBatch is a line of part batches.
type keptBatch struct {
	ID job.ID `json:"id"`
	jobstore.KeptBatch
}

// A writing is one backup under way.
type writing struct {
	sys *connect.System
	dir string
	m   Manifest

	copying copying
	after   []after
	batches []keptBatch
}

// Write writes a backup of an installation, whose programs may go on, into an empty folder, which it makes
// where there is none. Inputs is ByCopy or ByName. Where it fails what is written stays: without a manifest
// it is no backup.
func Write(ctx context.Context, sys *connect.System, dir, inputs string) (Manifest, error) {
	if err := emptyFolder(dir); err != nil {
		return Manifest{}, err
	}
	epoch, err := sys.Store.Epoch(ctx)
	if err != nil {
		return Manifest{}, err
	}
	w := &writing{sys: sys, dir: dir, m: Manifest{Version: version, ID: rand.Text(), Release: build.Build(),
		Begun: time.Now().UTC(), Records: jobstore.Format, Partitions: sys.Store.Parts(), Epoch: epoch,
		Place: sys.PlaceID(), Inputs: inputs}}
	if err := w.write(ctx); err != nil {
		return w.m, fmt.Errorf("%w: what is in %s is no backup, and may be removed", err, dir)
	}
	return w.m, nil
}

// emptyFolder makes a folder that nobody else reads.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("%w: %s: a backup needs one of its own", ErrFolder, dir)
	}
	return os.Chmod(dir, 0o700)
}

// write writes all parts. Schedules come before jobs: a tick that is made in between is made again, and
// finds its job by its id unless that has ended; the other way round it would be nowhere. Functions come
// behind: a job may be of a version that is deployed meanwhile. What jobs are after is looked at when all
// files were: who is found to have ended by its file that went is not restored, but known.
func (w *writing) write(ctx context.Context) error {
	schedules, err := w.sys.Store.DumpSchedules(ctx)
	if err != nil {
		return err
	}
	if w.m.Inputs == ByCopy {
		if err := os.Mkdir(filepath.Join(w.dir, filesFolder), 0o700); err != nil {
			return err
		}
	}
	lines, err := create(w.dir, partFiles)
	if err != nil {
		return err
	}
	defer func() { _ = lines.close() }() // of a backup that is none
	w.copying = copying{store: w.sys.Store, blobs: w.sys.Blobs, dir: w.dir, lines: lines, counts: &w.m.Counts,
		gone: map[job.ID]string{}}
	w.copying.crew = newCrew(ctx, w.copying.copy)
	defer func() { _ = w.copying.crew.end() }()
	jobs, err := w.jobs(ctx)
	if err != nil {
		return err
	}
	rooms, err := w.rooms(ctx, schedules)
	if err != nil {
		return err
	}
	if err := errors.Join(w.copying.crew.end(), lines.close()); err != nil {
		return err
	}
	waits, err := w.waits(ctx)
	if err != nil {
		return err
	}
	batches, err := writePart(w.dir, partBatches, func(out *writer) error {
		for _, b := range w.batches {
			if err := out.line(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.m.Parts = append([]Part{jobs, waits, batches, lines.part}, rooms...)
	if w.m.Inputs == ByCopy {
		if err := syncFolder(filepath.Join(w.dir, filesFolder)); err != nil {
			return err
		}
	}
	w.m.Ended = time.Now().UTC()
	return w.m.write(w.dir)
}

// jobs writes the jobs, and has their files copied.
func (w *writing) jobs(ctx context.Context) (Part, error) {
	return writePart(w.dir, partJobs, func(out *writer) error {
		sum, err := w.sys.Store.Dump(ctx, func(d *jobstore.Dumped) error {
			if d.Pieces && w.m.Inputs == ByCopy { // what has come so far is no file yet
				w.m.Counts.Uploads++
				return nil
			}
			if err := w.files(d); err != nil {
				return err
			}
			if len(d.After) > 0 {
				w.after = append(w.after, after{ID: d.ID, Tenant: d.Tenant, After: d.After})
			}
			if d.Batch != nil {
				w.batches = append(w.batches, keptBatch{d.ID, *d.Batch})
			}
			w.m.Counts.Jobs++
			return out.line(d.Kept)
		})
		w.m.Counts.Uploads += sum.Uploads
		w.m.Counts.Damaged, w.m.Counts.Batches = sum.Damaged, int64(len(w.batches))
		return err
	})
}

// files has a job's files copied. An input that is another job's file becomes its own: that one may not go
// along.
func (w *writing) files(d *jobstore.Dumped) error {
	ended := d.State.Terminal()
	for _, in := range d.Inputs {
		f := file{Job: d.ID, Blob: in.Blob, From: in.Blob, Size: in.Size, SHA256: in.SHA256}
		if in.Owner() != d.ID {
			if ended {
				continue // nobody reads it any more
			}
			f.Blob = jobstore.Folder(d.ID) + "/moved/in"
			if err := d.TakeInput(f.Blob); err != nil {
				return err
			}
		} else if w.m.Inputs == ByName {
			continue
		}
		if err := w.file(f, ended); err != nil {
			return err
		}
	}
	if w.m.Inputs == ByName {
		return nil
	}
	for _, o := range d.Outputs {
		if err := w.file(file{Job: d.ID, Blob: o.Blob, From: o.Blob}, ended); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) file(f file, ended bool) error {
	if w.m.Inputs == ByCopy {
		f.File, f.ended = w.copying.name(), ended
	}
	return w.copying.crew.add(f)
}

// waits writes how those have ended that jobs of the backup are after. It is looked at when all jobs were
// read: who is open then was open when it was its turn, and is there.
func (w *writing) waits(ctx context.Context) (Part, error) {
	return writePart(w.dir, partAfter, func(out *writer) error {
		for _, a := range w.after {
			letters, err := w.sys.Store.Letters(ctx, a.After)
			if err != nil {
				return err
			}
			known := []byte(letters)
			for i, before := range a.After {
				if letter := w.copying.gone[before]; letter != "" {
					known[i] = letter[0]
				}
			}
			a.Letters = string(known)
			if err := out.line(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// rooms writes what is no job.
func (w *writing) rooms(ctx context.Context, schedules map[string]string) (parts []Part, err error) {
	functions, versions, err := w.sys.Functions.Dump(ctx)
	if err != nil {
		return nil, err
	}
	if w.m.Inputs == ByCopy {
		copied := map[string]bool{} // a rollback has the blob of the version that it goes back to
		for _, v := range versions {
			if !copied[v.Blob] {
				copied[v.Blob] = true
				if err := w.file(file{Blob: v.Blob, From: v.Blob}, true); err != nil {
					return nil, err
				}
			}
		}
	}
	limits, err := w.sys.Limits.Dump(ctx)
	if err != nil {
		return nil, err
	}
	access, err := w.sys.Access.Dump(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := w.sys.Desk.DumpPauses(ctx)
	if err != nil {
		return nil, err
	}
	types, err := w.sys.ClaimTypes.All(ctx)
	if err != nil {
		return nil, err
	}
	c := &w.m.Counts
	c.Schedules, c.Access, c.Pauses = int64(len(schedules)), int64(len(access)), int64(len(pauses))
	c.Functions = int64(len(versions))
	if c.Limits = int64(len(limits)); limits["rev"] != "" {
		c.Limits--
	}
	for _, room := range []struct {
		name string
		all  map[string]string
	}{{partSchedules, schedules}, {partLimits, limits}, {partAccess, access}, {partFunctions, functions},
		{partPauses, pauses}, {partTypes, types}} {
		part, err := writeMap(w.dir, room.name, room.all)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
