//go:build linux

package e2e

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// endless is a job that nobody waits for: the largest there is takes minutes.
func endless(int) (client.Submission, string) {
	return client.Submission{Type: "math.primes", Payload: map[string]int64{"n": 100_000_000_000}}, ""
}

// TestCancels cancels 200 jobs at random moments, many of which run in child
// processes that never look up from their work.
func TestCancels(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=24", "KILL_GRACE=500ms")
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	ids := submitMany(t, c, 200, endless)
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })

	var mu sync.Mutex
	var longest time.Duration
	hit := map[job.State]int{}
	next := make(chan job.ID)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range next {
				asked := time.Now()
				snap, err := c.Cancel(t.Context(), id)
				if err != nil {
					t.Errorf("cancel: %v", err)
					continue
				}
				met := job.Queued
				if snap.State == job.Running || snap.StartedAt != nil {
					met = job.Running
				}
				end, err := c.Wait(t.Context(), id)
				took := time.Since(asked)
				if err != nil || end.State != job.Canceled || len(end.Errors) > 0 {
					t.Errorf("job met while %s ended as %+v, %v", met, end, err)
				}
				mu.Lock()
				hit[met]++
				longest = max(longest, took)
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		next <- id
		<-time.After(rand.N(40 * time.Millisecond))
	}
	close(next)
	wg.Wait()
	t.Logf("%v canceled; the slowest took %v", hit, longest)
	if hit[job.Running] < 50 || hit[job.Queued] < 20 {
		t.Errorf("invalid run: %v", hit)
	}
	if longest > 5*time.Second {
		t.Errorf("a cancel took %v", longest)
	}
	for _, id := range ids {
		if snap, err := c.Get(t.Context(), id); err != nil || snap.State != job.Canceled {
			t.Fatalf("a canceled job became %+v, %v", snap, err)
		}
	}
}

// TestDrainOfLongJobs stops a worker whose ten jobs would run for minutes.
func TestDrainOfLongJobs(t *testing.T) {
	t.Parallel()
	const grace = 4 * time.Second
	in := install(t, "CPU_CONCURRENCY=10", "SHUTDOWN_GRACE=4s", "KILL_GRACE=500ms")
	_, url := in.web(t)
	first := in.worker(t)
	c := clientOf(t, url)
	ids := submitMany(t, c, 10, endless)
	before := map[job.ID]job.Snapshot{}
	for _, id := range ids {
		before[id] = until(t, c, id, func(s job.Snapshot) bool { return s.State == job.Running })
	}
	asked := time.Now()
	first.signal(syscall.SIGTERM)
	first.signal(syscall.SIGTERM)
	if code := first.end(t, grace+40*time.Second); code != 0 {
		t.Errorf("worker exits with %d", code)
	}
	took := time.Since(asked)
	t.Logf("the worker was gone after %v", took)
	if took > grace+20*time.Second {
		t.Errorf("the worker took %v", took)
	}
	in.worker(t)
	for _, id := range ids {
		snap := until(t, c, id, func(s job.Snapshot) bool {
			return s.State == job.Running && s.StartedAt.After(*before[id].StartedAt)
		})
		if snap.Attempt != 1 || len(snap.Errors) > 0 {
			t.Errorf("a job paid for the drain: %+v", snap)
		}
		if _, err := c.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if snap := wait(t, c, id); snap.State != job.Canceled {
			t.Errorf("job ended as %+v", snap)
		}
	}
}

// until follows a job until ok says so.
func until(t *testing.T, c *client.Client, id job.ID, ok func(job.Snapshot) bool) job.Snapshot {
	t.Helper()
	for snap, err := range c.Follow(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		if ok(snap) {
			return snap
		}
	}
	t.Fatalf("%s ended before it came so far", id)
	return job.Snapshot{}
}
