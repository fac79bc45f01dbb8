package claims

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/internal/sealing"
	"longshore/job"
)

// MaxRenewWait is how long a renewal may wait: well within a lease.
const MaxRenewWait = 10 * time.Second

// A renewal waits until one of its jobs is to stop.
type renewal struct {
	ids  []job.ID
	wake chan struct{}
}

func (p *parking) listen(ids []job.ID) *renewal {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &renewal{ids, make(chan struct{}, 1)}
	for _, id := range ids {
		if p.runs[id] == nil {
			p.runs[id] = map[*renewal]bool{}
		}
		p.runs[id][r] = true
	}
	p.begin()
	return r
}

func (p *parking) unlisten(r *renewal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range r.ids {
		if delete(p.runs[id], r); len(p.runs[id]) == 0 {
			delete(p.runs, id)
		}
	}
	p.waiting--
}

func (r *renewal) ring() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ring wakes those who renew a job.
func (p *parking) ring(id job.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.runs[id] {
		r.ring()
	}
}

// ringAll wakes all who renew: messages may have been missed.
func (p *parking) ringAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, renewals := range p.runs {
		for r := range renewals {
			r.ring()
		}
	}
}

// Renewing is a request to renew leases.
type Renewing struct {
	Who
	Worker string
	Jobs   []answer.RenewJob
	Wait   time.Duration
	Gone   <-chan struct{} // ends the wait early: the server is about to stop
}

// Renew renews the leases of claimed jobs, and says which of them are to stop: at once if there is one, or
// else when there is one or the time is over. Errors: context's, or Redis's.
func (d *Desk) Renew(ctx context.Context, r Renewing) ([]answer.RenewedJob, error) {
	d.note(ctx, r.View.Tenant, r.Worker, nil, nil)
	renewals, ids := make([]jobstore.Renewal, len(r.Jobs)), make([]job.ID, len(r.Jobs))
	for i, one := range r.Jobs {
		ids[i] = one.ID
		renewals[i] = jobstore.Renewal{ID: one.ID, Fence: jobstore.FenceOf(one.Claim),
			Progress: progressOf(one.Progress)}
	}
	if err := d.hear(ctx, r, renewals); err != nil {
		return nil, err
	}
	waiting := d.parking.listen(ids)
	defer d.parking.unlisten(waiting)
	until := time.Now().Add(min(r.Wait, MaxRenewWait))
	told, stops, err := d.renew(ctx, r, renewals)
	if err != nil {
		return nil, err
	}
	for i := range renewals {
		renewals[i].Progress = nil
	}
	for over := r.Wait <= 0; !over && !stops; {
		pause := time.Until(until)
		for _, one := range told { // one that comes to its timeout is to hear of it
			if one.LeaseMS > 0 {
				pause = min(pause, time.Duration(one.LeaseMS+1)*time.Millisecond)
			}
		}
		select {
		case <-waiting.wake:
		case <-time.After(pause):
			over = !time.Now().Before(until)
		case <-r.Gone:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if told, stops, err = d.renew(ctx, r, renewals); err != nil {
			return nil, err
		}
	}
	return told, nil
}

// renew is one call to Redis, and tells whether a job is to stop.
func (d *Desk) renew(ctx context.Context, r Renewing, renewals []jobstore.Renewal) (
	told []answer.RenewedJob, stops bool, err error) {
	renewed, err := d.Store.Renew(ctx, r.View, renewals)
	if err != nil {
		return nil, false, err
	}
	told = make([]answer.RenewedJob, len(renewed))
	for i, one := range renewed {
		told[i] = answer.RenewedJob{ID: renewals[i].ID, LeaseMS: one.Lease.Milliseconds(),
			Stop: stopOf(one.Err)}
		stops = stops || one.Err != nil
	}
	return told, stops, nil
}

func stopOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, jobstore.ErrCanceled):
		return answer.StopCanceled
	case errors.Is(err, jobstore.ErrTimedOut):
		return answer.StopTimeout
	}
	return answer.StopLost // what can't be read can't be kept either
}

// hear takes in what the runs say: secrets go out of what they tell of their progress, and lines into their
// logs. A log that can't be written stops no run.
func (d *Desk) hear(ctx context.Context, r Renewing, renewals []jobstore.Renewal) error {
	for i, one := range renewals {
		log, noted := r.Jobs[i].Log, one.Progress != nil && one.Progress.Note != ""
		if log == nil && !noted {
			continue
		}
		held, err := d.Store.Holds(ctx, r.View, one.ID, one.Fence)
		switch {
		case !noted:
		case err == nil:
			one.Progress.Note = d.hider(held)(one.Progress.Note)
		case jobstore.Answered(err):
			one.Progress.Note = "" // the renewal is told so
		default:
			return err
		}
		if err == nil && log != nil {
			err = d.say(ctx, held, log)
		}
		if err != nil && !jobstore.Answered(err) && ctx.Err() == nil {
			d.Log.WarnContext(ctx, "lines of a claimed job's log are not kept", "job_id", one.ID, "error", err)
		}
	}
	return nil
}

// progressOf is the progress that clients see.
func progressOf(p *answer.ClaimProgress) *job.Progress {
	if p == nil {
		return nil
	}
	told := &job.Progress{Phase: job.PhaseRun, Records: p.Done, Note: printable.Line(p.Note)}
	if p.Total > 0 {
		part := min(float64(p.Done)/float64(p.Total), 1)
		told.Fraction, told.Reached = &part, math.Round(part*1e4)/1e4
	}
	return told
}

// maxLine is how long a line of a log may be, in bytes.
const maxLine = 4 << 10

// say adds lines to the log of a run.
func (d *Desk) say(ctx context.Context, held jobstore.Record, log *answer.ClaimLog) error {
	hide, at := d.hider(held), time.Now().UTC().Truncate(time.Millisecond)
	lines := make([]string, 0, len(log.Lines))
	for i, line := range log.Lines {
		if line = hide(line); len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "") + "…"
		}
		lines = append(lines, jobstore.LogLine(held.Delivery, log.From+int64(i), held.Snapshot.Attempt, at,
			slog.LevelInfo, printable.Text(strings.TrimRight(line, "\r\n"))))
	}
	return d.Store.SayLog(ctx, held.Snapshot.ID, held.Fence, held.Delivery, log.From, lines)
}

// hider takes secrets out of what a run says.
func (d *Desk) hider(held jobstore.Record) func(string) string {
	if len(held.Spec.Sealed) == 0 {
		return func(text string) string { return text }
	}
	spec := held.Spec
	if err := d.unseal(held.Snapshot.Type, &spec); err != nil {
		return func(string) string { return "…" } // which secret is in it nobody knows
	}
	secrets := sealing.Hider(spec.Payload, spec.Sealed)
	if secrets == nil {
		return func(text string) string { return text }
	}
	return secrets.Replace
}
