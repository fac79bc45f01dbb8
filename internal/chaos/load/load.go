// Package load is the clients of a chaos run: they come at a rate of their own, however
// slow the answers are, submit in every way there is, follow, cancel, and tell the history
// what they were told. They repeat what had no answer, as clients do.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"longshore/internal/chaos/history"
	"longshore/job"
)

// Servers says where requests go: as a balancer does, that knows who serves.
type Servers interface {
	// Serving names a web process and its address; another one than avoid if there is one.
	Serving(random *rand.Rand, avoid string) (name, url string, ok bool)
}

// Config of a Load.
type Config struct {
	Servers Servers
	Token   string
	Log     *history.Log
	Seed    uint64
	Rate    float64 // jobs a second
	Most    int     // flows under way; who comes beyond them is left out, and counted
}

// A Load is all clients. New makes one; Run lets them come.
type Load struct {
	config Config
	log    *history.Log
	http   *http.Client
	hooks  *hooks

	mu      sync.Mutex
	flows   []*flow
	left    int // not begun, since too many were under way
	ongoing sync.WaitGroup
}

// New returns a Load with a receiver of callbacks that listens. Close ends it.
func New(c Config) (*Load, error) {
	l := &Load{config: c, log: c.Log, http: &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, DisableCompression: true, IdleConnTimeout: 5 * time.Second,
	}}}
	var err error
	l.hooks, err = newHooks(c.Log, c.Seed)
	return l, err
}

// Run lets clients come until arrivals ends. They go on, each until it has seen its job's end
// or patience ends; Run returns when all have.
func (l *Load) Run(arrivals, patience context.Context) {
	random := rand.New(rand.NewPCG(l.config.Seed, 2))
	next := time.Now()
	for n := 0; ; n++ {
		next = next.Add(time.Duration(random.ExpFloat64() / l.config.Rate * float64(time.Second)))
		select {
		case <-arrivals.Done():
			l.ongoing.Wait()
			return
		case <-time.After(time.Until(next)):
		}
		l.arrive(patience, n)
	}
}

func (l *Load) arrive(ctx context.Context, n int) {
	f := newFlow(l, n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if open := l.open(); open >= l.config.Most {
		l.left++
		return
	}
	l.flows = append(l.flows, f)
	l.ongoing.Go(func() {
		f.run(ctx)
		f.over.Store(true)
	})
}

// open counts the flows under way; l.mu is held.
func (l *Load) open() (n int) {
	for _, f := range slices.Backward(l.flows) {
		if !f.over.Load() {
			n++
		}
	}
	return n
}

// Under tells how many clients are under way.
func (l *Load) Under() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// LeftOut is how many clients did not come since too many were there.
func (l *Load) LeftOut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// A Job is one that was acknowledged, as its client knows it.
type Job struct {
	ID   job.ID
	Type string
	Want string // what its result must contain; "" = not known
	Hook bool   // a callback was asked for
}

// Jobs lists the acknowledged jobs.
func (l *Load) Jobs() (jobs []Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.flows {
		f.mu.Lock()
		for _, id := range f.ids {
			jobs = append(jobs, Job{id, f.typ, f.want, f.hook})
		}
		f.mu.Unlock()
	}
	return jobs
}

// Replay sends the nth part of all acknowledged submissions again, under the same keys.
func (l *Load) Replay(ctx context.Context, nth int) {
	l.mu.Lock()
	flows := slices.Clone(l.flows)
	l.mu.Unlock()
	for i, f := range flows {
		if i%nth == 0 && f.acknowledged() != "" && f.way != "tus" {
			f.repeat(ctx)
		}
	}
}

// Close ends the receiver of callbacks.
func (l *Load) Close() error {
	l.http.CloseIdleConnections()
	return l.hooks.close()
}

// pause waits up to d, at least half of it.
func pause(ctx context.Context, random *rand.Rand, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + time.Duration(random.Int64N(int64(d/2)+1))):
	}
}

// key names a submission for good.
func (l *Load) key(n int) string { return fmt.Sprintf("chaos-%d-%d", l.config.Seed, n) }
