//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A steady load is four clients that submit jobs, one after the other, with a file or without, whatever
// becomes of Redis meanwhile. Each submission is answered, by the job or by a refusal.
type steady struct {
	t        *testing.T
	client   *client.Client
	stopped  chan struct{}
	wg       sync.WaitGroup
	accepted atomic.Int64
	refused  atomic.Int64

	mu  sync.Mutex
	ids []job.ID
}

// load begins a steady load on a web.
func load(t *testing.T, url string) *steady {
	t.Helper()
	l := &steady{t: t, client: clientOf(t, url), stopped: make(chan struct{})}
	for range 4 {
		l.wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-l.stopped:
					return
				case <-tick.C:
					l.submit(url, n)
				}
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *steady) submit(url string, n int) {
	path, body := url+httpapi.PathJobs, fmt.Sprintf(`{"type":"math.primes","payload":{"n":%d}}`, 10+n)
	if n%4 == 0 {
		path, body = path+"/file.checksum", strings.Repeat("a line\n", n%50+1)
	}
	r, err := tryRequest(l.t, "POST", path, strings.NewReader(body))
	switch {
	case err != nil:
		if l.t.Context().Err() == nil {
			l.t.Error(err)
		}
	case r.StatusCode == http.StatusAccepted:
		l.mu.Lock()
		l.ids = append(l.ids, r.snapshot(l.t).ID)
		l.mu.Unlock()
		l.accepted.Add(1)
	case r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
		l.refused.Add(1)
	default:
		l.t.Errorf("submit: %s: %s", r.Status, r.body)
	}
}

// grown waits until so many more jobs are accepted.
func (l *steady) grown(more int64) {
	l.t.Helper()
	from := l.accepted.Load()
	eventually(l.t, fmt.Sprintf("%d more jobs are accepted", more), func() bool {
		return l.accepted.Load() >= from+more
	})
}

// stop ends the load, and returns the jobs that were acknowledged.
func (l *steady) stop() []job.ID {
	l.mu.Lock()
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.ids
}

// judge wants each job to succeed, in one attempt.
func (l *steady) judge(ids []job.ID) {
	l.t.Helper()
	for _, id := range ids {
		if snap := wait(l.t, l.client, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			l.t.Errorf("job ended as %+v", snap)
		}
	}
	l.t.Logf("%d jobs, %d submissions were refused", len(ids), l.refused.Load())
}

// noErrors wants programs whose logs have no errors.
func noErrors(t *testing.T, programs map[string]*process) {
	t.Helper()
	for name, p := range programs {
		if said := p.said(`"level":"ERROR"`); len(said) > 0 {
			t.Errorf("%s logged errors: %v", name, said[0])
		}
	}
}
