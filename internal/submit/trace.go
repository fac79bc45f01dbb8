package submit

import (
	"context"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/tracing"
	"longshore/job"
)

// trace makes the jobs of a group a caller's: no span for each, and each run is a trace of its own, for there
// may be a million.
func (g *group) trace(traceparent string) {
	if traceparent == "" {
		return
	}
	for i := range g.jobs {
		g.jobs[i].Traceparent, g.jobs[i].TraceApart = traceparent, true
	}
	for i := range g.alone {
		g.alone[i].job.Traceparent, g.alone[i].job.TraceApart = traceparent, true
	}
}

// uploaded makes the span of an input that is whole.
func (d *Submitter) uploaded(traceparent string, id job.ID, typ string, from time.Time) {
	d.Traces.Upload(traceparent, tracing.Job{ID: string(id), Type: typ}, from)
}

// trace makes a new job one of the trace that its caller's context names, if it names one, by a span
// that what it returns ends.
func (d *Submitter) trace(ctx context.Context, n *jobstore.NewJob) (end func(*error)) {
	span := d.Traces.Submit(ctx, tracing.Job{ID: string(n.ID), Type: n.Type, Queue: n.Queue})
	n.Traceparent = span.Traceparent()
	return func(err *error) {
		code := ""
		if *err != nil {
			code = string(httpapi.AsError(*err).Code)
		}
		span.End(code)
	}
}
