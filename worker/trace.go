package worker

import (
	"time"

	"longshore/internal/jobstore"
	"longshore/internal/tracing"
)

// apartAfter is how old a trace may be whose spans a run still joins: tools close one long before a job that
// was put off for days begins.
const apartAfter = time.Hour

// beginSpan begins the span of this attempt, and makes that of its wait before the first one.
func (a *attempt) beginSpan() tracing.Span {
	st := &a.started
	wait := st.Wait
	if st.Attempt > 1 || st.Losses > 0 { // since its creation, as that is told
		wait = 0
	}
	return a.worker.sys.Traces.Run(st.Traceparent, tracing.Job{ID: string(a.ticket.ID), Type: st.Type,
		Queue: a.ticket.Queue, Attempt: st.Attempt}, wait,
		st.TraceApart || time.Since(a.ticket.ID.Time()) > apartAfter)
}

// endSpan ends it with what has become of the attempt; counts is false of one that has lost its job.
func (a *attempt) endSpan(end jobstore.End, counts bool) {
	switch {
	case !counts:
		a.span.End("lost")
	case end.Outcome == jobstore.Succeeded:
		a.span.End("")
	case end.Code != "":
		a.span.End(string(end.Code))
	default:
		a.span.End(string(end.Outcome))
	}
}
