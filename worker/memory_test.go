package worker

import (
	"testing"
	"time"
)

func TestRecyclerDecides(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	fixed := func(rss, jobs int64) *recycler { return &recycler{maxRSS: rss, maxJobs: jobs} }
	for _, c := range []struct {
		name  string
		r     *recycler
		looks []look
		due   bool
	}{
		{"no limits", fixed(0, 0), looks(time.Hour, 4000*mib, 1e9), false},
		{"young", fixed(300*mib, 0), append(looks(time.Minute, 100*mib, 0), looks(9*time.Minute, 900*mib, 0)...),
			false},
		{"grown", fixed(300*mib, 0), append(looks(time.Minute, 100*mib, 0), looks(11*time.Minute, 310*mib, 0)...),
			true},
		{"a limit below what it needs", fixed(300*mib, 0), append(looks(time.Minute, 250*mib, 0),
			looks(time.Hour, 400*mib, 0)...), false},
		{"jobs", fixed(0, 100), looks(11*time.Second, 0, 100), true},
		{"few jobs", fixed(0, 100), looks(time.Hour, 0, 99), false},
		{"jobs of the first moment", fixed(0, 100), looks(9*time.Second, 0, 1000), false},
	} {
		why := ""
		for _, l := range c.looks {
			why = c.r.due(l.age, l.rss, l.jobs)
		}
		if (why != "") != c.due {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

type look struct {
	age       time.Duration
	rss, jobs int64
}

func looks(age time.Duration, rss, jobs int64) []look { return []look{{age, rss, jobs}} }

// TestRecyclersSpread holds that workers which started together don't all end together.
func TestRecyclersSpread(t *testing.T) {
	t.Parallel()
	seen := map[int64]bool{}
	for range 200 {
		r := newRecycler(Config{MaxRSS: 1000, MaxJobs: 1000})
		for _, n := range []int64{r.maxRSS, r.maxJobs} {
			if n < 900 || n > 1100 {
				t.Fatalf("%d of 1000", n)
			}
			seen[n] = true
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d limits", len(seen))
	}
}
