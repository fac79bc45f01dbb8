package limits

import (
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/jobstore"
	"longshore/job"
)

// TestRetryAfter is by how fast jobs of the limit left, and within bounds.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	a, other := jobstore.Kind{Tenant: "default", Type: "a.a"}, jobstore.Kind{Tenant: "default", Type: "b.b"}
	begin := time.Now()
	at := func(s int, left, leftOther, io, cpu int64) drain {
		return drain{at: begin.Add(time.Duration(s) * time.Second), left: map[jobstore.Kind]int64{a: left,
			other: leftOther}, running: map[job.Place]int64{{Lane: job.LaneIO, Priority: job.Default}: io,
			{Lane: job.LaneCPU, Priority: job.Default}: cpu}}
	}
	ofType := &limit{owner: "*", spec: answer.LimitSpec{Match: answer.LimitMatch{Type: "a.*"}}}
	ofQueue := &limit{owner: "*", spec: answer.LimitSpec{Match: answer.LimitMatch{Queue: "io-*"}}}
	for name, c := range map[string]struct {
		samples []drain
		limit   *limit
		n       int64
		want    time.Duration
	}{
		"nothing known":       {nil, ofType, 1, unsure},
		"one sample":          {[]drain{at(0, 0, 0, 0, 0)}, ofType, 1, unsure},
		"nothing goes":        {[]drain{at(0, 7, 0, 0, 0), at(5, 7, 90, 1, 1)}, ofType, 1, idle},
		"10 a second":         {[]drain{at(0, 100, 0, 0, 0), at(10, 200, 900, 0, 0)}, ofType, 80, 8 * time.Second},
		"very fast":           {[]drain{at(0, 0, 0, 0, 0), at(1, 9000, 0, 0, 0)}, ofType, 5, time.Second},
		"very slow":           {[]drain{at(0, 1, 0, 0, 0), at(10, 2, 0, 0, 0)}, ofType, 500, latest},
		"a quarter runs here": {[]drain{at(0, 0, 0, 1, 3), at(10, 50, 50, 1, 3)}, ofQueue, 25, 10 * time.Second},
		"counters that went":  {[]drain{at(0, 100, 0, 0, 0), at(10, 0, 0, 0, 0)}, ofType, 1, idle},
	} {
		d := drains{samples: c.samples}
		if got := d.wait(c.limit, c.limit.group(a), c.n); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestHeld: what was let in counts until a look that began after its record was made.
func TestHeld(t *testing.T) {
	t.Parallel()
	g := group{owner: "*", limit: "few"}
	r := New(Config{})
	r.begun = 3
	r.held[g] = &held{open: 2, made: map[uint64]int64{}}
	r.made(map[group]int64{g: 1})
	for look, want := range map[uint64]int64{3: 2, 4: 1} {
		if n := r.held[g].not(look); n != want {
			t.Errorf("look %d has not seen %d, want %d", look, n, want)
		}
	}
	r.begun = 3 + remembered + 1
	r.made(map[group]int64{g: 1})
	r.begun += remembered + 1
	r.made(map[group]int64{g: 0})
	if n := r.held[g].not(r.begun + 1); n != 0 {
		t.Errorf("%d are held for ever", n)
	}
}
