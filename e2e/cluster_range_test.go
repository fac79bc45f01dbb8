//go:build linux

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"longshore/job"
)

// TestClusterScalesByItself has a burst find one worker: more are started by what /v1/scale wants. A smaller
// range drains the idlest, which finish what they run; a wider one takes them back. No job loses an attempt.
func TestClusterScalesByItself(t *testing.T) {
	t.Parallel()
	in := install(t, "CPU_CONCURRENCY=1", "WORKER_LANES=cpu", "SCALE_TARGET=1s")
	c := in.cluster(t, wholeProcfile, nil, "web=1", "worker=1..3")
	c.ready(t)
	api := clientOf(t, c.address(t))
	last := ""
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	states := func(state string) int {
		_, out, _ := c.ask(t, "status")
		last = out
		return len(regexp.MustCompile(`(?m)^worker\.[0-9]+ +[0-9]+ +`+state+`\b`).FindAllString(out, -1))
	}
	if n := states("ready"); n != 1 {
		t.Errorf("%d workers at first", n)
	}
	var ids []job.ID
	for range 5 {
		ids = append(ids, submit(t, api, burner).ID) // keeps a core busy for minutes
	}
	eventually(t, "three work, and say so", func() bool { return states("ready .* 1") == 3 })
	if code, _, msg := c.ask(t, "scale", "worker=0..1"); code != 0 {
		t.Fatal(msg)
	}
	eventually(t, "two drain", func() bool { return states("draining") == 2 && states("ready") == 1 })
	if code, _, msg := c.ask(t, "scale", "worker=3..4"); code != 0 {
		t.Fatal(msg)
	}
	eventually(t, "they are taken back", func() bool { return states("draining") == 0 && states("ready") >= 3 })
	if code, _, msg := c.ask(t, "scale", "worker=0..1"); code != 0 {
		t.Fatal(msg)
	}
	eventually(t, "two drain again", func() bool { return states("draining") == 2 && states("ready") == 1 })
	for _, id := range ids {
		if _, err := api.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if snap := wait(t, api, id); snap.State != job.Canceled || snap.Attempt > 1 {
			t.Errorf("%s ended %s in attempt %d", id, snap.State, snap.Attempt)
		}
	}
	eventually(t, "the drained ones have ended", func() bool {
		return states("draining") == 0 && states("ready") == 1
	})
	for _, wrong := range []string{"worker=3..3", "worker=1..100", "worker=1..", "worker=..4"} {
		if code, _, _ := c.ask(t, "scale", wrong); code != 2 {
			t.Errorf("scale %s: exit code %d", wrong, code)
		}
	}
}

// TestClusterRangeNeedsWeb refuses a range where nobody says how many are wanted.
func TestClusterRangeNeedsWeb(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, wholeProcfile, nil, "worker=1..3")
	<-c.done
	if code := c.cmd.ProcessState.ExitCode(); code != 78 || !strings.Contains(c.tail(3), "type web") {
		t.Errorf("exit code %d: %s", code, c.tail(3))
	}
}
