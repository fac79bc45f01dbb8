package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"longshore/job"
)

// An Installation is what all processes together have, at one moment.
type Installation struct {
	Jobs    int64 // records, those of ended jobs too
	Foreign int64 // tasks that others enqueued into its queues, set apart
	Queues  []Queue
	Workers map[string]int // by state
	Slots   map[job.Lane]int
	// Redis's memory, and the free space for blobs, in bytes; 0 = not known, or no limit.
	RedisUsed, RedisLimit int64
	BlobsFree, BlobsTotal int64
}

// A Queue is jobs of a lane and a priority.
type Queue struct {
	Lane     job.Lane
	Priority job.Priority
	Name     string // of the queue: default, mailers
	Waiting  int64  // due, those of types that nobody serves too
	Running  int64
	Oldest   time.Duration // how long the one that waits longest has been due
	Paused   bool
	Parked   map[string]int64 // of Waiting, those of types that nobody takes now
}

// NewInstallation returns the metrics of an installation. look is asked before each
// answer; its error is Text's.
func NewInstallation(look func(context.Context) (Installation, error)) *Set {
	c := &installation{}
	s := newSet(func(ctx context.Context) error {
		now, err := look(ctx)
		if err == nil {
			c.now.Store(&now)
		}
		return err
	})
	s.registry.MustRegister(c)
	return s
}

type installation struct{ now atomic.Pointer[Installation] }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("longshore_"+name, help, labels, nil)
}

var (
	jobsDesc    = desc("jobs", "Jobs that there are, ended ones too until their retention is over.")
	waitingDesc = desc("queue_waiting", "Jobs that are due and wait for a worker.", "lane", "priority",
		"queue")
	runningDesc = desc("queue_running", "Jobs that workers have taken.", "lane", "priority", "queue")
	oldestDesc  = desc("queue_oldest_seconds", "How long the job that waits longest has been due.", "lane",
		"priority", "queue")
	pausedDesc  = desc("queue_paused", "1 while a queue is paused.", "lane", "priority", "queue")
	parkedDesc  = desc("queue_parked", "Jobs that wait and whose type no worker takes now.", "lane", "type")
	foreignDesc = desc("foreign_tasks",
		"Tasks that others enqueued into queues of the installation, set apart; absent where there is none.")
	workersDesc = desc("workers", "Worker processes that are alive, by what they do.", "state")
	slotsDesc   = desc("slots", "Jobs that workers which take any can run at once.", "lane")
	usedDesc    = desc("redis_memory_bytes", "Memory that Redis uses.")
	limitDesc   = desc("redis_memory_limit_bytes", "Memory that Redis may use; absent where it has no limit.")
	freeDesc    = desc("blobs_free_bytes", "Free space for inputs and outputs; absent of a bucket.")
	totalDesc   = desc("blobs_size_bytes", "The whole space for inputs and outputs; absent of a bucket.")
)

// Describe is for the registry.
func (c *installation) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{jobsDesc, waitingDesc, runningDesc, oldestDesc, pausedDesc,
		parkedDesc, foreignDesc, workersDesc, slotsDesc, usedDesc, limitDesc, freeDesc, totalDesc} {
		ch <- d
	}
}

// Collect is for the registry.
func (c *installation) Collect(ch chan<- prometheus.Metric) {
	now := c.now.Load()
	if now == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(jobsDesc, float64(now.Jobs))
	for _, q := range now.Queues {
		lane, p, name := string(q.Lane), string(q.Priority), q.Name
		gauge(waitingDesc, float64(q.Waiting), lane, p, name)
		gauge(runningDesc, float64(q.Running), lane, p, name)
		gauge(oldestDesc, q.Oldest.Seconds(), lane, p, name)
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		gauge(pausedDesc, paused, lane, p, name)
	}
	for lane, types := range now.parked() {
		for typ, n := range types {
			gauge(parkedDesc, float64(n), string(lane), typ)
		}
	}
	for state, n := range now.Workers {
		gauge(workersDesc, float64(n), state)
	}
	for lane, n := range now.Slots {
		gauge(slotsDesc, float64(n), string(lane))
	}
	for d, n := range map[*prometheus.Desc]int64{foreignDesc: now.Foreign, usedDesc: now.RedisUsed,
		limitDesc: now.RedisLimit, freeDesc: now.BlobsFree, totalDesc: now.BlobsTotal} {
		if n > 0 || d == freeDesc && now.BlobsTotal > 0 {
			gauge(d, float64(n))
		}
	}
}

// parked sums those of all priorities; beyond a hundred types a lane the rest is one.
func (i *Installation) parked() map[job.Lane]map[string]int64 {
	lanes := map[job.Lane]map[string]int64{}
	for _, q := range i.Queues {
		for typ, n := range q.Parked {
			types := lanes[q.Lane]
			if types == nil {
				types = map[string]int64{}
				lanes[q.Lane] = types
			}
			if _, named := types[typ]; !named && len(types) >= maxTypes {
				typ = other
			}
			types[typ] += n
		}
	}
	return lanes
}
