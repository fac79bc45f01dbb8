package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A Job is what spans say of a job: names and numbers, nothing that it works on.
type Job struct {
	ID, Type, Queue string
	Attempt         int // 0 = not told
}

// attributes are OpenTelemetry's for messaging
// (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), with the type as the destination.
func (j Job) attributes(operation string) []attribute.KeyValue {
	list := append(make([]attribute.KeyValue, 0, 6), attribute.String("messaging.system", "longshore"),
		attribute.String("messaging.operation.name", operation),
		attribute.String("messaging.destination.name", j.Type))
	if j.ID != "" {
		list = append(list, attribute.String("messaging.message.id", j.ID))
	}
	if j.Queue != "" {
		list = append(list, attribute.String("longshore.queue", j.Queue))
	}
	if j.Attempt > 0 {
		list = append(list, attribute.Int("longshore.attempt", j.Attempt))
	}
	return list
}

// A Span is one step of a traced job; the zero value is one of a job that isn't. It knows whose
// trace it is also where no span is made: what it leads to goes on with that.
type Span struct {
	span trace.Span // nil = none is made
	in   trace.SpanContext
}

// Submit begins the span of a job's submission, in the trace of the context.
func (t *Tracer) Submit(ctx context.Context, j Job) Span {
	return t.begin(trace.SpanContextFromContext(ctx), "submit", trace.SpanKindProducer, j)
}

// Run begins the span of an attempt, which is a child of the submission's and linked to it; with root it is a
// trace of its own with that link. wait is how long the job has waited for a worker, 0 = that isn't told; it
// becomes a span that ends where this one begins, whatever the clocks say.
func (t *Tracer) Run(traceparent string, j Job, wait time.Duration, root bool) Span {
	parent := parse(traceparent)
	if t == nil || !parent.IsSampled() { // most are: they make no options
		return Span{in: parent}
	}
	now := time.Now()
	options := []trace.SpanStartOption{trace.WithTimestamp(now),
		trace.WithLinks(trace.Link{SpanContext: parent})}
	if root {
		options = append(options, trace.WithNewRoot())
	}
	s := t.begin(parent, "run", trace.SpanKindConsumer, j, options...)
	if s.span != nil && wait > 0 {
		t.start(parent, "wait", trace.SpanKindInternal, j, trace.WithTimestamp(now.Add(-wait))).End(trace.WithTimestamp(now))
	}
	return s
}

// Callback begins the span of one try to tell a receiver.
func (t *Tracer) Callback(traceparent string, j Job) Span {
	return t.begin(parse(traceparent), "callback", trace.SpanKindClient, j)
}

// Upload makes the span of an input that came from then until now.
func (t *Tracer) Upload(traceparent string, j Job, from time.Time) {
	t.begin(parse(traceparent), "upload", trace.SpanKindServer, j, trace.WithTimestamp(from)).End("")
}

// begin makes a span if the parent is sampled and this process may make one more now. Else the parent is what
// further steps are children of.
func (t *Tracer) begin(parent trace.SpanContext, operation string, kind trace.SpanKind, j Job,
	how ...trace.SpanStartOption) Span {
	if t == nil || !parent.IsSampled() {
		return Span{in: parent}
	}
	if !t.limit.Allow() {
		return Span{in: parent.WithTraceFlags(parent.TraceFlags().WithSampled(false))}
	}
	span := t.start(parent, operation, kind, j, how...)
	return Span{span: span, in: span.SpanContext()}
}

func (t *Tracer) start(parent trace.SpanContext, operation string, kind trace.SpanKind, j Job,
	how ...trace.SpanStartOption) trace.Span {
	_, span := t.spans.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent),
		operation+" "+j.Type, append(how, trace.WithSpanKind(kind), trace.WithAttributes(j.attributes(operation)...))...)
	return span
}

// Traceparent is what further steps are told; "" = there is no trace.
func (s Span) Traceparent() string { return write(s.in) }

// Into puts the span into a context, for what a handler makes of it; without a trace that stays as it is.
func (s Span) Into(ctx context.Context) context.Context {
	if !s.in.IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, s.in)
}

// End ends the span. code says what went wrong, in a word; "" = nothing did. Texts of errors are for the
// job's own log: they may tell what is in a file.
func (s Span) End(code string) {
	if s.span == nil {
		return
	}
	if code != "" {
		s.span.SetStatus(codes.Error, code)
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	s.span.End()
}
