// Package tracing follows a request of a caller's through the job that it made: it reads W3C trace contexts
// (https://www.w3.org/TR/trace-context/), and sends spans to a collector by OTLP over HTTP. It knows nothing
// of jobs but the names of attributes. Who isn't traced pays one branch; docs/traces.md tells the rest.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Header carries a trace context, in requests and in callbacks.
const Header = "traceparent"

var w3c propagation.TraceContext

// parse reads a traceparent; what is none is an invalid context. Its tracestate is left where it was: it is
// for the caller's own vendor, and nobody here vouches for it.
func parse(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	ctx := w3c.Extract(context.Background(), propagation.MapCarrier{Header: traceparent})
	return trace.SpanContextFromContext(ctx)
}

// write is the way back; "" of an invalid context.
func write(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	flags := "00"
	if sc.IsSampled() {
		flags = "01"
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + flags
}

// With notes in a context whose trace it is that a caller's header names. What is no traceparent
// means nothing, as the standard wants it.
func With(ctx context.Context, header string) context.Context {
	sc := parse(header)
	if !sc.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}

// From is the traceparent of the span in a context, a caller's or one of this program's own; "" = there is
// none.
func From(ctx context.Context) string { return write(trace.SpanContextFromContext(ctx)) }

// TraceID is the id of a traceparent's trace; "" of none.
func TraceID(traceparent string) string {
	if len(traceparent) < 35 {
		return ""
	}
	return traceparent[3:35]
}
