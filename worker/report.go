package worker

import (
	"math"
	"time"

	"longshore/handlers"
	"longshore/internal/printable"
	"longshore/job"
)

// A report turns a run's counts into the progress that clients see. Its
// methods are called one after the other: by the keeper while the run lasts,
// then by the run.
type report struct {
	run      *handlers.Run
	meter    job.Meter
	reported job.Progress // what clients know

	hide func(string) string // what notes must not tell

	before, reached float64 // of the whole: when the run began, and by now
}

// newReport returns the report of a run that finds so much of the whole done.
// What is left is the run's, whatever its part of the work: so the whole never
// goes back, after a failed attempt neither.
func newReport(run *handlers.Run, before float64) *report {
	r := &report{run: run, before: before, reached: before, hide: func(text string) string { return text }}
	r.meter.Measure(&job.Progress{}, time.Now(), 0, 0)
	return r
}

// news returns the progress if it has changed since the last call.
func (r *report) news() *job.Progress {
	p := r.measure()
	if p.BytesDone == r.reported.BytesDone && p.Records == r.reported.Records && p.Note == r.reported.Note &&
		equal(p.Fraction, r.reported.Fraction) {
		return nil
	}
	r.reported = p
	return &p
}

// last returns the exact progress at the end; nil if the run counted nothing.
func (r *report) last() *job.Progress {
	p := r.measure()
	if p.BytesDone == 0 && p.Records == 0 && p.Note == "" && p.Fraction == nil {
		return nil
	}
	p.ETA = nil
	return &p
}

func (r *report) measure() job.Progress {
	c := r.run.Counts()
	p := job.Progress{Phase: job.PhaseRun, BytesDone: c.In, Records: c.Records,
		Note: printable.Line(r.hide(c.Note))}
	done, total := p.BytesDone, c.Total
	if units := c.Done; units > 0 {
		done = units
	} else {
		p.BytesTotal = total
	}
	r.meter.Measure(&p, time.Now(), done, total)
	if p.Fraction != nil { // which goes back where a handler begins anew
		r.reached = max(r.reached, r.before+(1-r.before)**p.Fraction)
	}
	p.Reached = math.Round(r.reached*1e4) / 1e4
	return p
}

func equal(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
