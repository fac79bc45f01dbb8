package schedules

import (
	"context"
	"errors"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/redisdb"
	"longshore/internal/refusal"
	"longshore/job"
)

// errFull is why a tick waits: in the same words, however full it is.
var errFull = httpapi.NewError(httpapi.StoreFull, "the installation takes no more jobs for now")

// by is who cancels a job for the one after it.
const byName = "schedule"

// tick makes the ticks of some schedules that are due, one after another for as long as there are.
func (r *Room) tick(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		found, err := r.Store.SchedulesNamed(ctx, keys)
		if err != nil {
			return err
		}
		r.forget(ctx, keys, found)
		now, err := r.Store.Clock(ctx)
		if err != nil {
			return err
		}
		ticks := make([]jobstore.Tick, 0, len(found))
		for i := range found {
			if t, ok := r.decide(ctx, &found[i], now); ok {
				ticks = append(ticks, t)
			}
		}
		keys = keys[:0]
		var failed error
		for i, done := range r.Store.TickMany(ctx, ticks) {
			t := &ticks[i]
			switch {
			case errors.Is(done.Err, jobstore.ErrScheduleStale), errors.Is(done.Err, job.ErrNotFound):
			case done.Err != nil:
				if failed = done.Err; !redisdb.Unavailable(done.Err) {
					r.note(ctx, t.Schedule, now, refusal.Of(done.Err))
				}
			case !t.Following.IsZero() && !t.Due.After(now):
				keys = append(keys, t.Schedule.Key())
			}
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// forget removes what is left of schedules that aren't there.
func (r *Room) forget(ctx context.Context, keys []string, found []jobstore.Schedule) {
	there := map[string]bool{}
	for i := range found {
		there[found[i].Key()] = true
	}
	for _, key := range keys {
		if tenant, name, _ := strings.Cut(key, "/"); !there[key] {
			if err := r.Store.ForgetSchedule(ctx, tenant, name); err != nil {
				r.Log.WarnContext(ctx, "what is left of a schedule stays", "schedule", name, "error", err)
			}
		}
	}
}

// decide says what a tick that is due is to do. false: nothing for now.
func (r *Room) decide(ctx context.Context, s *jobstore.Schedule, now time.Time) (jobstore.Tick, bool) {
	d, err := definitionOf(s)
	if err != nil { // of a later release, perhaps
		r.note(ctx, s, now, err)
		return jobstore.Tick{}, false
	}
	if s.Fields["paused"] != "" || s.Next.IsZero() || d.table.Due(s.Next).After(now) {
		r.settle(ctx, s, d, now)
		return jobstore.Tick{}, false
	}
	step := d.table.Step(s.Next, now)
	t := jobstore.Tick{Schedule: s, At: step.Tick, Following: step.Following,
		Due:    d.table.Due(step.Following),
		Missed: step.Missed, Overlap: d.overlap, By: byName}
	if !step.Make {
		t.Why = jobstore.TickMissed
		return t, true
	}
	if r.Submitter.Room() != nil { // the tick stays due, for as long as it is in time
		r.note(ctx, s, now, errFull)
		return jobstore.Tick{}, false
	}
	request := d.request
	request.Owner = access.Owner{Tenant: s.Tenant, Subject: s.Fields["subject"]}
	if t.Job, err = r.Submitter.Prepare(request); err == nil {
		err = r.Store.Enroll(ctx, t.Job.Queue)
		if err != nil && !errors.Is(err, jobstore.ErrManyQueues) {
			return jobstore.Tick{}, false // Redis's: it is looked at again
		}
	}
	if err == nil {
		return t, true
	}
	// Another process may know the type, or this one before long: it stays due for as long as it is in time.
	r.note(ctx, s, now, err)
	t.Why = jobstore.TickRefused
	return t, !d.table.InTime(step.Tick, step.Following, now)
}

// settle puts right when a schedule is to be looked at, where a script stopped between its writes.
func (r *Room) settle(ctx context.Context, s *jobstore.Schedule, d *definition, now time.Time) {
	if due, err := r.Store.ScheduleDue(ctx, s); err != nil || due.IsZero() || due.After(now) {
		return // somebody else was here
	}
	c := jobstore.ScheduleChange{Tenant: s.Tenant, Name: s.Name, Rev: s.Rev, Read: s.Next}
	if s.Fields["paused"] == "" {
		c.Due = d.table.Due(s.Next)
	}
	if _, err := r.Store.ChangeSchedule(ctx, c); err != nil && !errors.Is(err, jobstore.ErrScheduleStale) {
		r.Log.WarnContext(ctx, "a schedule is not due and looked at all the same", "schedule", s.Name,
			"error", err)
	}
}

// note tells why a tick is not made, once.
func (r *Room) note(ctx context.Context, s *jobstore.Schedule, now time.Time, problem error) {
	text := textOf(problem)
	if s.Fields["err"] == text {
		return
	}
	r.Log.WarnContext(ctx, "a schedule's tick is not made", "schedule", s.Name, "tenant", s.Tenant,
		"problem", text)
	c := jobstore.ScheduleChange{Tenant: s.Tenant, Name: s.Name, Rev: s.Rev, Read: s.Next, Due: s.Next,
		Set: map[string]string{"err": text, "erat": stamp(now)}}
	rev, err := r.Store.ChangeSchedule(ctx, c)
	if err != nil {
		r.Log.DebugContext(ctx, "the schedule doesn't say so", "schedule", s.Name, "error", err)
		return
	}
	s.Rev, s.Fields["err"] = rev, text
}
