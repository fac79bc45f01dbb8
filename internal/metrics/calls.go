package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Calls counts calls of a server. The zero value is not ready: see Set.Calls.
type Calls struct {
	took   Durations
	failed atomic.Uint64

	tookDesc, failedDesc *prometheus.Desc
}

// Calls adds the durations and the failures of calls to a set: name is "redis".
func (s *Set) Calls(name, what string) *Calls {
	c := &Calls{
		tookDesc: prometheus.NewDesc("longshore_"+name+"_seconds", "How long calls of "+what+
			" took, failed ones too.", nil, nil),
		failedDesc: prometheus.NewDesc("longshore_"+name+"_errors_total", "Calls of "+what+" that failed.",
			nil, nil),
	}
	s.registry.MustRegister(c)
	return c
}

// Done counts a call.
func (c *Calls) Done(took time.Duration, err error) {
	c.took.Add(took)
	if err != nil {
		c.failed.Add(1)
	}
}

// Describe is for the registry.
func (c *Calls) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.tookDesc
	ch <- c.failedDesc
}

// Collect is for the registry.
func (c *Calls) Collect(ch chan<- prometheus.Metric) {
	count, sum, upTo := c.took.buckets()
	ch <- prometheus.MustNewConstHistogram(c.tookDesc, count, sum, upTo)
	ch <- prometheus.MustNewConstMetric(c.failedDesc, prometheus.CounterValue, float64(c.failed.Load()))
}
