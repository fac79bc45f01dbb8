package worker

import (
	"testing"

	"longshore/handlers"
)

// TestReportNeverGoesBack holds that the whole does not, where a handler reads its
// input a second time.
func TestReportNeverGoesBack(t *testing.T) {
	t.Parallel()
	run := &handlers.Run{}
	r := newReport(run, 0.5)
	for _, step := range []struct {
		done int64
		want float64
	}{{0, 0.5}, {50, 0.75}, {10, 0.75}, {80, 0.9}, {0, 0.9}, {100, 1}} {
		run.SetCounts(handlers.Counts{In: step.done, Total: 100})
		if p := r.measure(); p.Reached != step.want {
			t.Errorf("at %d: %v, want %v", step.done, p.Reached, step.want)
		}
	}
}
