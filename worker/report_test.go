package worker

import (
	"testing"

	"longshore/internal/stream"
)

// TestReportNeverGoesBack holds that the whole does not, where a handler reads its
// input a second time.
func TestReportNeverGoesBack(t *testing.T) {
	t.Parallel()
	counts := &stream.Counts{}
	r := newReport(counts, 0.5)
	counts.Total.Store(100)
	for _, step := range []struct {
		done int64
		want float64
	}{{0, 0.5}, {50, 0.75}, {10, 0.75}, {80, 0.9}, {0, 0.9}, {100, 1}} {
		counts.In.Store(step.done)
		if p := r.measure(); p.Reached != step.want {
			t.Errorf("at %d: %v, want %v", step.done, p.Reached, step.want)
		}
	}
}
