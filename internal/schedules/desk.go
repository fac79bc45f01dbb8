package schedules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// An Asker is who asks, and of which tenant's schedules.
type Asker struct {
	Who    *access.Principal
	View   access.View // what he sees
	Tenant string      // whose the schedule is that he names
}

func (a Asker) sees(s *jobstore.Schedule) bool {
	return a.View.Has(access.Owner{Tenant: s.Tenant, Subject: s.Fields["subject"]})
}

// maxSchedules is how many a tenant may have.
const maxSchedules = 10_000

// attempts is how often a change is tried that others come before.
const attempts = 8

var errNone = httpapi.NewError(httpapi.NotFound, "there is no such schedule")

// find reads one that who asks sees.
func (r *Room) find(ctx context.Context, by Asker, name string) (jobstore.Schedule, error) {
	if httpapi.CheckName(name) != nil {
		return jobstore.Schedule{}, errNone
	}
	s, err := r.Store.Schedule(ctx, by.Tenant, name)
	switch {
	case errors.Is(err, job.ErrNotFound), err == nil && !by.sees(&s):
		return s, errNone
	case err != nil:
		return s, refusal.Of(err)
	}
	return s, nil
}

// Get shows one, with its newest jobs.
func (r *Room) Get(ctx context.Context, by Asker, name string) (answer.Schedule, error) {
	s, err := r.find(ctx, by, name)
	if err != nil {
		return answer.Schedule{}, err
	}
	a := r.show(&s)
	runs, err := r.Store.ScheduleRuns(ctx, s.Tenant, s.Name)
	if err != nil {
		return a, refusal.Of(err)
	}
	for _, run := range runs {
		a.Runs = append(a.Runs, answer.ScheduleRun{At: run.At, Job: run.ID})
	}
	return a, nil
}

// List shows all that who asks sees, of one source or, for "", of all.
func (r *Room) List(ctx context.Context, by Asker, source string) ([]answer.Schedule, error) {
	all, err := r.Store.Schedules(ctx, by.View.Tenant)
	if err != nil {
		return nil, refusal.Of(err)
	}
	list := []answer.Schedule{}
	for i := range all {
		if s := &all[i]; by.sees(s) && (source == "" || s.Fields["source"] == source) {
			list = append(list, r.show(s))
		}
	}
	return list, nil
}

// What became of a schedule that was put.
const (
	created   = "created"
	changed   = "changed"
	unchanged = "unchanged"
)

// Put makes a schedule what a text says, and tells whether there was none. One that says the same already
// stays as it is.
func (r *Room) Put(ctx context.Context, by Asker, name string, text []byte) (answer.Schedule, bool, error) {
	if err := httpapi.CheckName(name); err != nil {
		return answer.Schedule{}, false, httpapi.InvalidAt("/name", err.Error())
	}
	now, err := r.Store.Clock(ctx)
	if err != nil {
		return answer.Schedule{}, false, refusal.Of(err)
	}
	d, err := r.check(by, text, now)
	if err != nil {
		return answer.Schedule{}, false, err
	}
	was, err := r.put(ctx, by, name, d, "")
	if err != nil {
		return answer.Schedule{}, false, err
	}
	a, err := r.Get(ctx, by, name)
	return a, was == created, err
}

// check reads a schedule and holds that its jobs could be made.
func (r *Room) check(by Asker, text []byte, now time.Time) (*definition, error) {
	d, _, err := read(text, false, now)
	if err != nil {
		return nil, err
	}
	return d, r.permit(by, d)
}

// permit refuses what who asks may not submit, and jobs that could not be made.
func (r *Room) permit(by Asker, d *definition) error {
	q := d.request
	if err := q.Permit(by.Who, by.Tenant); err != nil {
		return err
	}
	n, err := r.Submitter.Prepare(q)
	if err == nil && len(n.Spec.Sealed) > 0 {
		return httpapi.InvalidAt("/payload"+n.Spec.Sealed[0],
			"is a secret, which a schedule would keep and show openly")
	}
	return err
}

// put writes a definition. A list that it comes from is its source; "" = none, and an older one stays.
func (r *Room) put(ctx context.Context, by Asker, name string, d *definition, source string) (string, error) {
	spec, err := json.Marshal(d.spec)
	if err != nil {
		return "", err
	}
	var was string
	err = r.change(ctx, by, name, func(old *jobstore.Schedule, now time.Time) (*jobstore.ScheduleChange,
		error) {
		set := map[string]string{"spec": string(spec), "by": by.Who.Name(), "changed": stamp(now),
			"err": "", "erat": ""}
		if source != "" {
			set["source"], set["orphan"] = source, ""
		}
		if was = created; old.Rev != "" {
			if was = changed; source != "" && old.Fields["source"] != "" && old.Fields["source"] != source {
				return nil, httpapi.NewError(httpapi.Conflict,
					fmt.Sprintf("%s came with the source %q: remove it there first", name,
						old.Fields["source"]))
			}
			if old.Fields["spec"] == string(spec) {
				if was = unchanged; source == "" || old.Fields["source"] == source &&
					old.Fields["orphan"] == "" {
					return nil, nil
				}
			}
		} else {
			n, err := r.Store.CountSchedules(ctx, by.Tenant)
			if err != nil {
				return nil, err
			}
			if n >= maxSchedules {
				return nil, httpapi.NewError(httpapi.Conflict, fmt.Sprintf("there are %d schedules already",
					n))
			}
			set["subject"] = by.Who.Subject
		}
		return reckon(old, d, now, set), nil
	})
	return was, err
}

// reckon says when the next tick of a changed schedule is: it is counted from now, and none comes
// again that was decided. Only one that starts in the past, since just now, has ticks that are late.
func reckon(old *jobstore.Schedule, d *definition, now time.Time,
	set map[string]string) *jobstore.ScheduleChange {
	anchor, before := now, (*definition)(nil)
	if old.Rev != "" {
		before, _ = definitionOf(old) // what can't be read is no hindrance to put it right
	}
	switch {
	case !d.start.IsZero():
		anchor = d.start
	case before != nil && before.every == d.every && before.start.IsZero() && !old.Time("anchor").IsZero():
		anchor = old.Time("anchor")
	}
	own := *d
	table := *d.table
	own.table = &table
	own.on(old.Tenant, old.Name, anchor)
	from := now
	if !d.start.IsZero() && d.start.Before(now) && (before == nil || !before.start.Equal(d.start)) {
		from = d.start.Add(-time.Millisecond)
	}
	if d.every > 0 && d.start.IsZero() && anchor.Equal(now) {
		from = later(from, anchor) // not at once
	}
	next := table.First(later(from, old.Last))
	set["anchor"], set["next"] = stamp(anchor), stamp(next)
	c := &jobstore.ScheduleChange{Due: table.Due(next), Set: set}
	if old.Fields["paused"] != "" {
		c.Due = time.Time{}
	}
	return c
}

// change has do say what is to be written of a schedule as it is, until nobody comes in between. One that
// isn't
// there has no revision. nil = nothing is to be written.
func (r *Room) change(ctx context.Context, by Asker, name string,
	do func(old *jobstore.Schedule, now time.Time) (*jobstore.ScheduleChange, error)) error {
	for range attempts {
		old, err := r.Store.Schedule(ctx, by.Tenant, name)
		switch {
		case errors.Is(err, job.ErrNotFound):
			old = jobstore.Schedule{Tenant: by.Tenant, Name: name, Fields: map[string]string{}}
		case err != nil:
			return refusal.Of(err)
		case !by.sees(&old):
			return httpapi.NewError(httpapi.Conflict, "the name is taken")
		}
		now, err := r.Store.Clock(ctx)
		if err != nil {
			return refusal.Of(err)
		}
		c, err := do(&old, now)
		if err != nil {
			return refusal.Of(err)
		}
		if c == nil {
			return nil
		}
		c.Tenant, c.Name, c.Rev, c.Read = by.Tenant, name, old.Rev, old.Next
		_, err = r.Store.ChangeSchedule(ctx, *c)
		if !errors.Is(err, jobstore.ErrScheduleStale) {
			if err != nil {
				err = refusal.Of(err)
			}
			return err
		}
	}
	return httpapi.NewError(httpapi.Unavailable, "the schedule changes all the time, try again").
		WithRetryAfter(time.Second)
}

// Delete removes a schedule; its jobs stay.
func (r *Room) Delete(ctx context.Context, by Asker, name string) error {
	if _, err := r.find(ctx, by, name); err != nil {
		return err
	}
	err := r.Store.RemoveSchedule(ctx, by.Tenant, name)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return errNone
	case err != nil:
		return refusal.Of(err)
	}
	return nil
}

const maxWhy = 500

// Pause holds a schedule's ticks back. One that is paused stays so, by whom it was.
func (r *Room) Pause(ctx context.Context, by Asker, name, why string) (answer.Schedule, error) {
	if len(why) > maxWhy {
		return answer.Schedule{}, httpapi.InvalidAt("/why", fmt.Sprintf("expected at most %d bytes", maxWhy))
	}
	return r.steer(ctx, by, name, func(old *jobstore.Schedule, _ *definition,
		now time.Time) (*jobstore.ScheduleChange, error) {
		if old.Fields["paused"] != "" {
			return nil, nil
		}
		text, err := json.Marshal(answer.SchedulePause{By: by.Who.Name(), At: now, Why: why})
		return &jobstore.ScheduleChange{Set: map[string]string{"paused": string(text),
			"next": stamp(old.Next)}}, err
	})
}

// Resume ends a pause. What passed meanwhile is not made up for.
func (r *Room) Resume(ctx context.Context, by Asker, name string) (answer.Schedule, error) {
	return r.steer(ctx, by, name, func(old *jobstore.Schedule, d *definition,
		now time.Time) (*jobstore.ScheduleChange, error) {
		if old.Fields["paused"] == "" {
			return nil, nil
		}
		next := d.table.First(later(now, old.Last))
		return &jobstore.ScheduleChange{Due: d.table.Due(next),
			Set: map[string]string{"paused": "", "next": stamp(next), "err": "", "erat": ""}}, nil
	})
}

// steer is change for a schedule that is there.
func (r *Room) steer(ctx context.Context, by Asker, name string,
	do func(*jobstore.Schedule, *definition, time.Time) (*jobstore.ScheduleChange, error)) (answer.Schedule,
	error) {
	if _, err := r.find(ctx, by, name); err != nil {
		return answer.Schedule{}, err
	}
	err := r.change(ctx, by, name, func(old *jobstore.Schedule, now time.Time) (*jobstore.ScheduleChange,
		error) {
		if old.Rev == "" {
			return nil, errNone
		}
		d, err := definitionOf(old)
		if err != nil {
			return nil, err
		}
		return do(old, d, now)
	})
	if err != nil {
		return answer.Schedule{}, err
	}
	return r.Get(ctx, by, name)
}

// Trigger makes a job of a schedule now, beside its ticks. A repeat with the same key finds it.
func (r *Room) Trigger(ctx context.Context, by Asker, name, key string) (snap job.Snapshot, isNew bool,
	err error) {
	for range attempts {
		s, err := r.find(ctx, by, name)
		if err != nil {
			return snap, false, err
		}
		d, err := definitionOf(&s)
		if err != nil {
			return snap, false, refusal.Of(err)
		}
		if err := r.permit(by, d); err != nil {
			return snap, false, err
		}
		if err := r.Submitter.Room(); err != nil {
			return snap, false, err
		}
		q := d.request
		q.Owner = access.Owner{Tenant: s.Tenant, Subject: s.Fields["subject"]}
		t := jobstore.Tick{Schedule: &s, Overlap: d.overlap, By: by.Who.Name()}
		if t.Job, err = r.Submitter.Prepare(q); err != nil {
			return snap, false, err
		}
		if err := r.Store.Enroll(ctx, t.Job.Queue); err != nil {
			return snap, false, refusal.Of(err)
		}
		if key != "" { // of this schedule only: its jobs lie where no other key is looked for
			t.Job.IdempotencyKey = "trigger\x00" + name + "\x00" + key
		}
		done := r.Store.TickMany(ctx, []jobstore.Tick{t})[0]
		var open *jobstore.OverlapError
		switch {
		case errors.Is(done.Err, jobstore.ErrScheduleStale):
			continue
		case errors.As(done.Err, &open):
			return snap, false, httpapi.NewError(httpapi.Conflict, done.Err.Error()+", and overlap is skip")
		case done.Err != nil:
			return snap, false, refusal.Of(done.Err)
		}
		snap, err = r.Store.Views().Get(ctx, by.View, done.ID)
		if err != nil {
			return snap, false, refusal.Of(err)
		}
		return snap, done.New, nil
	}
	return snap, false, httpapi.NewError(httpapi.Unavailable, "the schedule changes all the time, try again").
		WithRetryAfter(time.Second)
}
