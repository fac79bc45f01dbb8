//go:build linux

package e2e

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// greedy are expressions that take more than there is of something, and the
// code with which a job then ends. Few steps may take any amount of memory, and
// one step any time.
var greedy = map[string]job.Code{
	`.[300000000] = 1`: job.OutOfMemory,
	`"x" * 1000000000`: job.OutOfMemory,
	`[limit(9000; repeat("x" * 1000000 | explode))]`:  job.OutOfMemory,
	`reduce range(40) as $i ("x"; . + .)`:             job.OutOfMemory,
	`reduce range(40) as $i ([120]; . + .) | implode`: job.OutOfMemory,
	`reduce range(40) as $i ([1]; . + .) | tojson`:    job.OutOfMemory,
	`reduce range(200) as $i ("xxxx"; @base64)`:       job.OutOfMemory,
	`reduce range(60) as $i (1; [., .]) | tojson`:     job.OutOfMemory,
	`[range(1e9)]`:            job.StepLimit,
	`[limit(1e8; repeat(1))]`: job.StepLimit,
	`def f: 1 + f; f`:         job.StepLimit,
	`reduce range(40) as $i (9007199254740993; . * .) > 0`: job.Timeout,
}

// TestGreedyExpressions runs expressions that would take a worker's memory or
// time, all of it: each ends its own job, and nothing else is touched.
func TestGreedyExpressions(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	worker := in.worker(t, "CHILD_MEMORY=200MiB", "LOG_LEVEL=debug")
	c := clientOf(t, url)
	submit := func(typ string, payload any, input []byte, timeout time.Duration) job.Snapshot {
		s := client.Submission{Type: typ, Payload: payload, MaxAttempts: 1, Timeout: timeout}
		snap, err := c.SubmitFile(t.Context(), s, bytes.NewReader(input), int64(len(input)))
		if err != nil {
			t.Error(err)
		}
		return snap
	}

	// Neighbours run all the while, in both lanes and in both kinds of process, one a moment after the other.
	stop := make(chan struct{})
	var neighbours sync.WaitGroup
	rows := bytes.Repeat([]byte(`{"status":500}`+"\n"+`{"status":200}`+"\n"), 10_000)
	for _, filter := range []string{".status >= 500", ".status + 0 >= 500"} {
		neighbours.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				snap := wait(t, c, submit("ndjson.filter", map[string]string{"filter": filter}, rows, 0).ID)
				if snap.State != job.Succeeded || len(snap.Errors) > 0 {
					t.Errorf("neighbour with %s: %+v\n%s", filter, snap,
						strings.Join(worker.said(string(snap.ID)), "\n"))
				}
			}
		})
	}

	for expression, code := range greedy {
		timeout := time.Minute
		if code == job.Timeout {
			timeout = 3 * time.Second
		}
		for typ, payload := range map[string]any{
			"ndjson.filter": map[string]string{"filter": expression},
			"text.transform": map[string]any{"stages": []any{map[string]any{"ndjson": struct{}{}},
				map[string]any{"map": expression}}, "on_error": "skip"},
		} {
			began := time.Now()
			snap := wait(t, c, submit(typ, payload, []byte("null\n"), timeout).ID)
			if snap.State != job.Failed || snap.Error.Code != code || len(snap.Outputs) > 0 {
				t.Errorf("%s of %s: %s, %+v, want %s", typ, expression, snap.State, snap.Error, code)
			}
			t.Logf("%-55s %-14s %v after %v, peak %d MiB", expression, typ, snap.Error,
				time.Since(began).Round(time.Millisecond), snap.Usage.PeakRSSBytes>>20)
		}
	}
	close(stop)
	neighbours.Wait()
	if peak := peakMemory(t, worker); peak > 150<<20 {
		t.Errorf("the worker had %d MiB resident", peak>>20)
	} else {
		t.Logf("the worker had %d MiB resident", peak>>20)
	}
	select {
	case <-worker.done:
		t.Error("the worker has died")
	default:
	}
}
