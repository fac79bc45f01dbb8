package edge

import (
	"testing"
	"time"
)

// TestPace follows bodies, read by read, until they are found too slow.
func TestPace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate   int64
		bytes  int
		waited time.Duration
		reads  int // that are let through; 1000 = all
	}{
		"any":         {0, 1, time.Hour, 1000},
		"fast":        {1000, 100_000, time.Second, 1000},
		"just enough": {1000, 1000, time.Second, 1000},
		"a trickle":   {1000, 1, time.Second, 30},
		"half":        {1000, 500, time.Second, 59},
		"in bursts":   {1000, 25_000, 25 * time.Second, 1000},
	} {
		p := pace{rate: c.rate, grace: 30 * time.Second, left: 30 * time.Second}
		reads := 0
		for reads < 1000 && p.took(c.bytes, c.waited) {
			reads++
		}
		if reads != c.reads {
			t.Errorf("%s: %d reads let through, want %d", name, reads, c.reads)
		}
	}
}
