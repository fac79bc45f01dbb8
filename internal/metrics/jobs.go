package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"longshore/job"
)

// other is the label of what has no name of its own.
const other = "other"

// maxTypes is how many types have names.
const maxTypes = 100

// Jobs counts what a worker does. nil counts nothing, and costs nothing.
type Jobs struct {
	waits map[job.Lane]map[job.Priority]*Durations

	types sync.Map // name → *typeCounts
	mu    sync.Mutex
	named int
	rest  *typeCounts
}

// typeCounts are the numbers of one type.
type typeCounts struct {
	runs  Durations
	ended [][]atomic.Uint64 // by the index of the state and of the code
}

// states are those that an attempt leaves its job in, and codes those that it may have;
// the first is that of none, the last that of any other.
var (
	states = job.States
	codes  = append(append([]job.Code{""}, job.Codes...), other)
)

func newTypeCounts() *typeCounts {
	c := &typeCounts{ended: make([][]atomic.Uint64, len(states))}
	for i := range c.ended {
		c.ended[i] = make([]atomic.Uint64, len(codes))
	}
	return c
}

var stateIndex, codeIndex = func() (map[job.State]int, map[job.Code]int) {
	s, c := map[job.State]int{}, map[job.Code]int{}
	for i, state := range states {
		s[state] = i
	}
	for i, code := range codes {
		c[code] = i
	}
	return s, c
}()

// Jobs adds a worker's counts to a set.
func (s *Set) Jobs() *Jobs {
	j := &Jobs{waits: map[job.Lane]map[job.Priority]*Durations{}, rest: newTypeCounts()}
	for _, lane := range job.Lanes {
		j.waits[lane] = map[job.Priority]*Durations{}
		for _, p := range job.Priorities {
			j.waits[lane][p] = &Durations{}
		}
	}
	s.registry.MustRegister(j)
	return j
}

// Began counts a run that begins, and how long its job was due before.
func (j *Jobs) Began(lane job.Lane, p job.Priority, wait time.Duration) {
	if j == nil {
		return
	}
	if d := j.waits[lane][p]; d != nil {
		d.Add(wait)
	}
}

// Ended counts an attempt that has ended: what became of its job, and how long it ran.
// code is that of a failure, else "".
func (j *Jobs) Ended(typ string, state job.State, code job.Code, run time.Duration) {
	if j == nil {
		return
	}
	c := j.of(typ)
	c.runs.Add(run)
	s, ok := stateIndex[state]
	if !ok {
		return
	}
	i, ok := codeIndex[code]
	if !ok {
		i = len(codes) - 1
	}
	c.ended[s][i].Add(1)
}

// of returns a type's counts.
func (j *Jobs) of(typ string) *typeCounts {
	if c, ok := j.types.Load(typ); ok {
		return c.(*typeCounts)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if c, ok := j.types.Load(typ); ok {
		return c.(*typeCounts)
	}
	if j.named >= maxTypes {
		return j.rest
	}
	j.named++
	c := newTypeCounts()
	j.types.Store(typ, c)
	return c
}

var (
	waitDesc = prometheus.NewDesc("longshore_job_wait_seconds",
		"How long jobs were due before a run of this worker began.", []string{"lane", "priority"}, nil)
	runDesc     = prometheus.NewDesc("longshore_job_run_seconds", "How long attempts ran.", []string{"type"}, nil)
	attemptDesc = prometheus.NewDesc("longshore_attempts_total",
		"Attempts that ended, by what became of their job and, of failed ones, by the code of the failure.",
		[]string{"type", "state", "code"}, nil)
)

// Describe is for the registry.
func (j *Jobs) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitDesc
	ch <- runDesc
	ch <- attemptDesc
}

// Collect is for the registry.
func (j *Jobs) Collect(ch chan<- prometheus.Metric) {
	for lane, priorities := range j.waits {
		for p, d := range priorities {
			count, sum, upTo := d.buckets()
			if count > 0 {
				ch <- prometheus.MustNewConstHistogram(waitDesc, count, sum, upTo, string(lane), string(p))
			}
		}
	}
	j.types.Range(func(name, c any) bool {
		c.(*typeCounts).collect(ch, name.(string))
		return true
	})
	j.rest.collect(ch, other)
}

func (c *typeCounts) collect(ch chan<- prometheus.Metric, typ string) {
	count, sum, upTo := c.runs.buckets()
	if count > 0 {
		ch <- prometheus.MustNewConstHistogram(runDesc, count, sum, upTo, typ)
	}
	for s := range c.ended {
		for i := range c.ended[s] {
			if n := c.ended[s][i].Load(); n > 0 {
				ch <- prometheus.MustNewConstMetric(attemptDesc, prometheus.CounterValue, float64(n), typ,
					string(states[s]), string(codes[i]))
			}
		}
	}
}
