package tracing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// The numbers of a process's spans.
const (
	maxWaiting  = 2048 // spans that wait to be sent; further ones are dropped, and counted
	perCall     = 512  // spans of one call
	sendEvery   = 2 * time.Second
	callTimeout = 10 * time.Second
	atTheEnd    = 2 * time.Second // for what still waits then
	sayEvery    = time.Minute     // between lines about a collector that doesn't take them
	usualRate   = 100
)

// Config of a Tracer.
type Config struct {
	// URL is the collector's, to which /v1/traces is added unless it ends so; "" = nothing is sent. Further
	// variables of OpenTelemetry's SDK (OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, …) hold too.
	URL     string
	Service string // the program's name, unless OTEL_SERVICE_NAME says another
	Version string
	Rate    int // jobs a second that spans are made of, a process; 0 = 100
	Log     *slog.Logger
}

// A Tracer makes spans of jobs and sends them. nil makes none. Its methods are safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer // of the provider
	limit    *rate.Limiter
	to       *exporter
}

// Open returns a tracer, or nil where no URL is set. It doesn't connect: a collector that is away,
// hangs or refuses costs spans and nothing else.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	if c.URL == "" {
		return nil, nil //nolint:nilnil // nil is a tracer that makes nothing
	}
	address, err := endpoint(c.URL)
	if err != nil {
		return nil, err
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(address),
		otlptracehttp.WithTimeout(callTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second,
			MaxElapsedTime: callTimeout}))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", c.Service),
		attribute.String("service.version", c.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	to := &exporter{SpanExporter: client, log: c.Log}
	processor := sdktrace.NewBatchSpanProcessor(to,
		sdktrace.WithMaxQueueSize(maxWaiting), sdktrace.WithMaxExportBatchSize(perCall),
		sdktrace.WithBatchTimeout(sendEvery), sdktrace.WithExportTimeout(callTimeout))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(gate{processor, to}),
		sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	most := cmp.Or(c.Rate, usualRate)
	return &Tracer{provider: provider, spans: provider.Tracer("longshore"), to: to,
		limit: rate.NewLimiter(rate.Limit(most), most)}, nil
}

func endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is no http:// or https:// address", text)
	}
	if !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// Close sends what waits, for two seconds at most.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), atTheEnd)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what could not be sent was said
}

// Dropped counts the spans that nobody got: there were too many, or the collector didn't take them.
func (t *Tracer) Dropped() int64 {
	if t == nil {
		return 0
	}
	return t.to.dropped.Load()
}

// Sent counts those that the collector took.
func (t *Tracer) Sent() int64 {
	if t == nil {
		return 0
	}
	return t.to.sent.Load()
}

// An exporter sends spans and counts them. What fails is said here, since the processor before it would only
// hand it to a global handler.
type exporter struct {
	sdktrace.SpanExporter
	log *slog.Logger

	waiting, dropped, sent atomic.Int64
	said                   atomic.Int64 // when of a failure, in nanoseconds
}

// ExportSpans sends spans that have ended.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	n := int64(len(spans))
	e.waiting.Add(-n)
	if err == nil {
		e.sent.Add(n)
		return nil
	}
	e.dropped.Add(n)
	now := time.Now().UnixNano()
	if last := e.said.Load(); now-last > int64(sayEvery) && e.said.CompareAndSwap(last, now) {
		e.log.WarnContext(ctx, "spans are lost: the collector doesn't take them", "error", err,
			"dropped", e.dropped.Load())
	}
	return nil
}

// A gate lets no more spans into a processor than may wait: that one would drop them uncounted.
type gate struct {
	sdktrace.SpanProcessor
	to *exporter
}

// OnEnd takes a span that has ended.
func (g gate) OnEnd(s sdktrace.ReadOnlySpan) {
	if g.to.waiting.Add(1) > maxWaiting {
		g.to.waiting.Add(-1)
		g.to.dropped.Add(1)
		return
	}
	g.SpanProcessor.OnEnd(s)
}
