package worker

import (
	"testing"
	"time"

	"longshore/internal/functions/registry"
	"longshore/tasks"
)

// TestFailedDeploy holds that a version that can't be served is tried again after pauses that
// grow, and that another content under the same number, which a Redis that was emptied gives,
// does not wait for them.
func TestFailedDeploy(t *testing.T) {
	t.Parallel()
	d := &deploys{failed: map[string]failedDeploy{}}
	c := registry.Current{Version: registry.Version{Number: 2, SHA256: "one"}, Info: tasks.Info{Type: "a.b"}}
	if !d.due(c) {
		t.Error("what was never tried is not due")
	}
	for i, least := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		d.fail("a.b", 2, "one")
		if pause := time.Until(d.failed["a.b"].again); pause < (least-1)*time.Second || pause > least*time.Second {
			t.Errorf("pause %d is %v", i+1, pause)
		}
		if d.due(c) {
			t.Error("it is due at once")
		}
	}
	other, next := c, c
	other.SHA256, next.Number = "two", 3
	if !d.due(other) || !d.due(next) {
		t.Error("another content, or number, waits")
	}
}
