//go:build linux

package e2e

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// TestKilledWorkerLosesNothing kills one of two workers while several of its
// jobs run and thousands wait: every job ends, those that ran run again soon,
// and none has lost an attempt.
func TestKilledWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=4", "STREAM_CONCURRENCY=8")
	_, url := in.web(t)
	c := clientOf(t, url)

	// Four jobs of a minute fill the victim's slots, so the others pile up.
	victim := in.worker(t)
	long := submitMany(t, c, 4, func(int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 50_000_000_000}}, ""
	})
	running := runningOn(t, c, victim, long)
	if len(running) < 4 {
		t.Fatalf("invalid run: only %d jobs run on the worker to be killed", len(running))
	}
	jobs := 7000
	if testing.Short() {
		jobs = 5000
	}
	rest := submitMany(t, c, jobs-len(long), func(i int) (client.Submission, string) {
		if i%10 == 0 {
			return client.Submission{Type: "file.checksum"}, strings.Repeat("longshore ", 1+i)
		}
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 5_000_000},
			Priority: job.Priorities[i%3]}, ""
	})
	other := in.worker(t)
	killed := time.Now()
	victim.signal(syscall.SIGKILL)
	var latest time.Duration
	for id, before := range running {
		latest = max(latest, runsAgain(t, c, id, before, killed))
	}
	waiting := pending(t, c)
	t.Logf(
		"%d jobs ran on the killed worker; the last of them ran again after %v, when %d others still waited",
		len(running), latest, waiting)
	if waiting < 1000 && !testing.Short() {
		t.Errorf("invalid run: only %d jobs waited", waiting)
	}
	if latest > 40*time.Second {
		t.Errorf("a job ran again only after %v", latest)
	}
	for _, id := range long { // they have shown what they were for
		if _, err := c.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range append(rest, long...) {
		snap := wait(t, c, id)
		if want := snap.State == job.Succeeded || snap.State == job.Canceled; !want || snap.Attempt > 1 ||
			len(snap.Errors) > 0 {
			t.Fatalf("job ended as %+v", snap)
		}
	}
	other.signal(syscall.SIGTERM)
	if code := other.end(t, 30*time.Second); code != 0 {
		t.Errorf("worker exits with %d", code)
	}
}

func pending(t *testing.T, c *client.Client) (n int64) {
	t.Helper()
	queues, err := c.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		n += q.Pending
	}
	return n
}

// submitMany submits n jobs from several goroutines and returns their ids.
func submitMany(t *testing.T, c *client.Client, n int, what func(int) (client.Submission, string)) []job.ID {
	t.Helper()
	ids := make([]job.ID, n)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				s, body := what(i)
				var snap job.Snapshot
				var err error
				if body == "" {
					snap, err = c.Submit(t.Context(), s)
				} else {
					snap, err = c.SubmitFile(t.Context(), s, strings.NewReader(body), int64(len(body)))
				}
				if err != nil {
					t.Errorf("submit %d: %v", i, err)
					return
				}
				ids[i] = snap.ID
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return ids
}

// runningOn waits until four of the jobs run on a worker, and returns those.
func runningOn(t *testing.T, c *client.Client, p *process, ids []job.ID) map[job.ID]job.Snapshot {
	t.Helper()
	running := map[job.ID]job.Snapshot{}
	deadline := time.Now().Add(20 * time.Second)
	for len(running) < 4 && time.Now().Before(deadline) {
		for _, id := range ids {
			if len(p.said(`"msg":"run begins","job_id":"`+string(id))) == 0 {
				continue
			}
			if snap, err := c.Get(t.Context(), id); err == nil && snap.State == job.Running {
				running[id] = snap
			}
		}
	}
	return running
}

// runsAgain follows a job until another start of it, and returns how long
// after the kill that was.
func runsAgain(t *testing.T, c *client.Client, id job.ID, before job.Snapshot,
	killed time.Time) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for snap, err := range c.Follow(ctx, id) {
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if snap.StartedAt != nil && snap.StartedAt.After(*before.StartedAt) {
			if snap.Attempt != before.Attempt {
				t.Errorf("%s: attempt %d after the kill, %d before", id, snap.Attempt, before.Attempt)
			}
			return snap.StartedAt.Sub(killed)
		}
	}
	t.Fatalf("%s: did not run again", id)
	return 0
}
