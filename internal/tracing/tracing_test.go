package tracing

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

const sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparent(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		sampled:                      sampled,
		sampled[:53] + "00":          sampled[:53] + "00",
		sampled[:53] + "03":          sampled, // a random id
		"01" + sampled[2:] + "-more": sampled, // a later version has this at its head
		"ff" + sampled[2:]:           "",
		sampled + "-more":            "",
		strings.ToUpper(sampled):     "",
		sampled[:54]:                 "",
		"00-" + strings.Repeat("0", 32) + sampled[35:]:        "",
		sampled[:36] + strings.Repeat("0", 16) + sampled[52:]: "",
		"": "", "x": "", strings.Repeat("-", 55): "", sampled[:40] + "\r\n" + sampled[42:]: "",
	} {
		if got := From(With(t.Context(), header)); got != want {
			t.Errorf("%q is %q, want %q", header, got, want)
		}
	}
	if id := TraceID(sampled); id != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Error(id)
	}
}

// open returns a tracer whose collector is this handler.
func open(t *testing.T, collect http.HandlerFunc, most int) *Tracer {
	t.Helper()
	collector := httptest.NewServer(collect)
	t.Cleanup(collector.Close)
	tracer, err := Open(t.Context(), Config{URL: collector.URL, Service: "test", Rate: most,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func TestWhoIsTraced(t *testing.T) {
	t.Parallel()
	tracer := open(t, func(http.ResponseWriter, *http.Request) {}, 2)
	for _, one := range []struct {
		tracer      *Tracer
		parent      string
		made, flags bool
	}{
		{tracer, sampled, true, true},
		{tracer, sampled[:53] + "00", false, false},
		{tracer, "", false, false},
		{nil, sampled, false, true}, // what comes after may be traced, by others
		{tracer, sampled, true, true},
		{tracer, sampled, false, false}, // over the rate, so nobody makes a half trace
	} {
		s := one.tracer.Run(one.parent, Job{Type: "a.b"}, time.Second, false)
		in := trace.SpanContextFromContext(s.Into(t.Context()))
		if (s.span != nil) != one.made || in.IsSampled() != one.flags || in.IsValid() != (one.parent != "") {
			t.Errorf("%q: made %v, %+v", one.parent, s.span != nil, in)
		}
		if one.parent != "" && TraceID(s.Traceparent()) != TraceID(sampled) {
			t.Errorf("%q leads to %q", one.parent, s.Traceparent())
		}
		s.End("")
	}
	if s := tracer.Run("", Job{}, 0, true); s.Traceparent() != "" {
		t.Error("a trace comes from nowhere")
	}
	tracer.Close()
	if n := tracer.Sent(); n != 4 { // two attempts and their waits
		t.Errorf("%d spans were sent", n)
	}
}

// TestApart wants a trace of its own, which names the other one.
func TestApart(t *testing.T) {
	t.Parallel()
	tracer := open(t, func(http.ResponseWriter, *http.Request) {}, 100)
	defer tracer.Close()
	s := tracer.Run(sampled, Job{Type: "a.b"}, 0, true)
	if id := TraceID(s.Traceparent()); id == "" || id == TraceID(sampled) {
		t.Errorf("it is in trace %q", id)
	}
	s.End("")
}

// TestCollectorHangs wants no more than 2,048 spans kept for a collector that takes none, the rest counted,
// and an end soon.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	tracer := open(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}, 1_000_000)
	const n = 3 * maxWaiting
	for range n {
		tracer.Callback(sampled, Job{Type: "a.b"}).End("")
	}
	if d := tracer.Dropped(); d != n-maxWaiting {
		t.Errorf("%d of %d dropped", d, n)
	}
	began := time.Now()
	tracer.Close()
	if took := time.Since(began); took > atTheEnd+10*time.Second {
		t.Errorf("it took %v to end", took)
	}
	close(hang)
}

// TestCollectorRefuses wants what it refuses counted as lost.
func TestCollectorRefuses(t *testing.T) {
	t.Parallel()
	tracer := open(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}, 100)
	tracer.Callback(sampled, Job{Type: "a.b"}).End("connection")
	tracer.Close()
	if tracer.Dropped() != 1 || tracer.Sent() != 0 {
		t.Errorf("dropped %d, sent %d", tracer.Dropped(), tracer.Sent())
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://c:4318": "http://c:4318/v1/traces", "http://c:4318/": "http://c:4318/v1/traces",
		"https://c/otlp": "https://c/otlp/v1/traces", "https://c/v1/traces": "https://c/v1/traces",
		"c:4318": "", "grpc://c": "", "http://": "",
	} {
		got, err := endpoint(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if none, err := Open(context.Background(), Config{}); none != nil || err != nil {
		t.Error(none, err)
	}
}

// BenchmarkUntraced is what each job pays that nobody traces.
func BenchmarkUntraced(b *testing.B) {
	tracer, err := Open(b.Context(), Config{URL: "http://127.0.0.1:9", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer tracer.Close()
	b.ReportAllocs()
	for b.Loop() {
		j := Job{ID: "x", Type: "a.b", Attempt: 1}
		tracer.Submit(b.Context(), j).End("")
		tracer.Run("", j, time.Second, false).End("")
	}
}
