//go:build linux

package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestRateOfStarts counts starts by the clock of the records: no more than the limit lets, in any window,
// while web and worker are killed. None is lost, another type is not held up, and who waits says for what
// and until when.
func TestRateOfStarts(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=8")
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	limit := func(args ...string) string {
		t.Helper()
		code, out, stderr := call(t, "", append(slices.Clone(in.env), "LONGSHORE_URL="+url), "enqueue",
			append([]string{"limits"}, args...)...)
		if code != 0 {
			t.Fatalf("limits %v: %d %s %s", args, code, out, stderr)
		}
		return out
	}
	out := limit("put", "primes", "--type", "math.primes", "--rate", "10/1s", "--burst", "2")
	if !strings.Contains(out, "10/1s, 2 at once") {
		t.Errorf("limits put says %s", out)
	}
	const jobs, gap, burst = 60, 100 * time.Millisecond, 2
	ids := make([]job.ID, 0, jobs)
	for range jobs {
		ids = append(ids, submit(t, c, primesOf(1000, func(*client.Submission) {})).ID)
	}
	last := look(t, c, ids[jobs-1])
	if !last.Done && (last.State != job.Queued || last.WaitingFor != job.WaitingLimit ||
		last.Limit != "primes") {
		t.Errorf("the last one: %+v", last)
	}
	begun := func(n int) func() bool {
		return func() bool { return count(t, c, job.Succeeded) >= int64(n) }
	}
	for i, p := range []*process{worker, web} {
		eventually(t, "some have begun", begun(10+15*i))
		p.signal(syscall.SIGKILL)
		if i == 0 {
			in.worker(t)
		} else {
			_, url = in.web(t)
			c = clientOf(t, url)
		}
	}
	var starts []time.Time
	for _, id := range ids {
		snap := wait(t, c, id)
		if snap.State != job.Succeeded {
			t.Fatalf("%s ended as %+v", id, snap)
		}
		starts = append(starts, *snap.StartedAt)
	}
	slices.SortFunc(starts, time.Time.Compare)
	for i := range starts {
		for k := i; k < len(starts); k++ {
			if most := burst + int(starts[k].Sub(starts[i])/gap); k-i+1 > most {
				t.Fatalf("%d starts in %v, at most %d may be", k-i+1, starts[k].Sub(starts[i]), most)
			}
		}
	}
	t.Logf("%d starts took %v", jobs, starts[jobs-1].Sub(starts[0]))

	limit("put", "primes", "--type", "math.primes", "--rate", "1/24h")
	submit(t, c, primesOf(1000, func(*client.Submission) {}))
	held := submit(t, c, primesOf(1000, func(*client.Submission) {}))
	_, out, _ = call(t, "", append(slices.Clone(in.env), "LONGSHORE_URL="+url), "enqueue", "timeline",
		string(held.ID))
	if !strings.Contains(out, "primes") {
		t.Errorf("the timeline doesn't say what it waits for: %s", out)
	}
	limit("put", "primes", "--type", "math.primes", "--rate", "1000/1s")
	if snap := wait(t, c, held.ID); snap.State != job.Succeeded {
		t.Errorf("raised: %+v", snap)
	}
	limit("put", "primes", "--type", "math.primes", "--rate", "1/24h")
	submit(t, c, primesOf(1000, func(*client.Submission) {}))
	held = submit(t, c, primesOf(1000, func(*client.Submission) {}))
	limit("rm", "primes")
	if snap := wait(t, c, held.ID); snap.State != job.Succeeded {
		t.Errorf("removed: %+v", snap)
	}
	request(t, "PUT", url+httpapi.LimitPath("bad"), strings.NewReader(`{"rate":{"n":0,"per":"1s"}}`)).
		problem(t, 422, httpapi.Invalid)
}
