package metrics

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Set is metrics that are asked for together.
type Set struct {
	registry *prometheus.Registry
	refresh  func(context.Context) error // before each answer; nil: nothing is to be
	turn     chan struct{}               // two answers are made at a time, at most

	mu   sync.Mutex
	kept map[bool]answer // by whether it is OpenMetrics
}

// An answer is kept for a second, so that who asks again and again costs nothing.
type answer struct {
	text []byte
	kind string // its Content-Type
	at   time.Time
}

const keepFor = time.Second

func newSet(refresh func(context.Context) error) *Set {
	return &Set{registry: prometheus.NewRegistry(), refresh: refresh, turn: make(chan struct{}, 2),
		kept: map[bool]answer{}}
}

// NewProcess returns the metrics of this process: at first those of Go, of the operating
// system, and of what was built (go_build_info).
func NewProcess() *Set {
	s := newSet(nil)
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Gauge adds a number that is asked for when it is wanted. labels are names and values in
// turn. The same name may be added with other values of the same labels.
func (s *Set) Gauge(name, help string, value func() float64, labels ...string) {
	s.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: pairs(labels)}, value))
}

// Counter is Gauge for a number that only grows.
func (s *Set) Counter(name, help string, value func() float64, labels ...string) {
	s.registry.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: name, Help: help, ConstLabels: pairs(labels)}, value))
}

// Spans adds how many spans a collector took, and how many nobody got.
func (s *Set) Spans(sent, dropped func() int64) {
	for outcome, n := range map[string]func() int64{"sent": sent, "dropped": dropped} {
		s.Counter("longshore_trace_spans_total", "Spans that the collector took, and those that nobody got.",
			func() float64 { return float64(n()) }, "outcome", outcome)
	}
}

func pairs(labels []string) prometheus.Labels {
	m := prometheus.Labels{}
	for i := 0; i+1 < len(labels); i += 2 {
		m[labels[i]] = labels[i+1]
	}
	return m
}

// Text returns all metrics in the format that an Accept header asks for, and its
// Content-Type. They are at most a second old. It waits while two answers are being made.
func (s *Set) Text(ctx context.Context, accept string) (text []byte, kind string, err error) {
	open := strings.Contains(accept, "application/openmetrics-text")
	if a, ok := s.fresh(open); ok {
		return a.text, a.kind, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	if a, ok := s.fresh(open); ok { // made while this one waited
		return a.text, a.kind, nil
	}
	if s.refresh != nil {
		if err := s.refresh(ctx); err != nil {
			return nil, "", err
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, "", err
	}
	if r.Header.Set("Accept", "text/plain; version=0.0.4"); open {
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	}
	w := &memo{header: http.Header{}, status: http.StatusOK}
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{DisableCompression: true, EnableOpenMetrics: true}).
		ServeHTTP(w, r)
	if w.status != http.StatusOK {
		return nil, "", fmt.Errorf("gather metrics: %s", w.text.String())
	}
	a := answer{text: w.text.Bytes(), kind: w.header.Get("Content-Type"), at: time.Now()}
	s.mu.Lock()
	s.kept[open] = a
	s.mu.Unlock()
	return a.text, a.kind, nil
}

func (s *Set) fresh(open bool) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.kept[open]
	return a, ok && time.Since(a.at) < keepFor
}

// A memo is a ResponseWriter that remembers.
type memo struct {
	header http.Header
	status int
	text   bytes.Buffer
}

func (m *memo) Header() http.Header         { return m.header }
func (m *memo) WriteHeader(status int)      { m.status = status }
func (m *memo) Write(p []byte) (int, error) { return m.text.Write(p) }
