package memory

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const mb = 1 << 20

// A world is what a process holds at a time, in bytes, and its load.
type world func(at time.Duration, r *rand.Rand) (bytes float64, load int64)

// firstAlarm runs a world and returns its first alarm, and when that was.
func firstAlarm(w world, length time.Duration, seed uint64) (*Alarm, time.Duration) {
	r := rand.New(rand.NewPCG(seed, 1))
	j := Judge{Kind: Heap}
	for at := time.Duration(0); at <= length; at += Every {
		bytes, load := w(at, r)
		if a := j.Note(Sample{At: at, Bytes: int64(bytes), Load: load}); a != nil {
			return a, at
		}
	}
	return nil, 0
}

// leakFrom adds a leak of so many bytes a second, from a time on.
func leakFrom(w world, from time.Duration, rate float64) world {
	return func(at time.Duration, r *rand.Rand) (float64, int64) {
		bytes, load := w(at, r)
		return bytes + max(0, (at-from).Seconds())*rate, load
	}
}

// teeth is a steady process whose collections find it now with more in its hands, now with less.
func teeth(at time.Duration, r *rand.Rand) (float64, int64) {
	saw := math.Mod(at.Seconds(), 47) / 47
	return 60*mb + saw*8*mb + r.Float64()*3*mb, 16
}

// swing has a load that goes up and down, with memory for each job.
func swing(at time.Duration, r *rand.Rand) (float64, int64) {
	load := 20 + 15*math.Sin(at.Minutes()/9) + r.Float64()*4
	return 50*mb + load*1.5*mb + r.Float64()*2*mb, int64(load)
}

func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	slowest := map[string]time.Duration{}
	for seed := range uint64(200) {
		phase := time.Duration(seed) * 1500 * time.Millisecond
		for _, c := range []struct {
			name   string
			w      world
			from   time.Duration
			rate   float64
			within time.Duration
			rules  []Rule
		}{
			{"1 MB/s, idle", func(time.Duration, *rand.Rand) (float64, int64) { return 8 * mb, 0 },
				3*time.Minute + phase, mb, time.Minute, []Rule{Fast}},
			{"1 MB/min, steady", teeth, ripe + phase, mb / 60.0, 30 * time.Minute, []Rule{Quick}},
			{"1 MB/min, idle", func(time.Duration, *rand.Rand) (float64, int64) { return 8 * mb, 0 },
				ripe + phase, mb / 60.0, 30 * time.Minute, []Rule{Quick}},
			{"1 MB/min, swinging", swing, ripe + phase, mb / 60.0, 105 * time.Minute, []Rule{Quick, Hour}},
		} {
			a, at := firstAlarm(leakFrom(c.w, c.from, c.rate), c.from+c.within, seed)
			if a == nil || at < c.from || a.Rule != c.rules[0] && a.Rule != c.rules[len(c.rules)-1] {
				t.Fatalf("%s, seed %d: %+v at %v", c.name, seed, a, at-c.from)
			}
			slowest[c.name] = max(slowest[c.name], at-c.from)
		}
	}
	t.Log("the slowest:", slowest)
}

// TestNoFalseAlarms lives for two hours in processes that leak nothing.
func TestNoFalseAlarms(t *testing.T) {
	t.Parallel()
	// fill has a cache fill, ever slower.
	fill := func(size float64, scale time.Duration) world {
		return func(at time.Duration, r *rand.Rand) (float64, int64) {
			bytes, load := teeth(at, r)
			return bytes + size*(1-math.Exp(-at.Seconds()/scale.Seconds())), load
		}
	}
	for name, w := range map[string]world{
		"teeth": teeth,
		"swing": swing,
		"large teeth": func(at time.Duration, r *rand.Rand) (float64, int64) {
			return 300*mb + math.Mod(at.Seconds(), 290)/290*200*mb + r.Float64()*30*mb, 40
		},
		"a cache that fills in a minute": fill(200*mb, 10*time.Second),
		"in ten minutes":                 fill(100*mb, 3*time.Minute),
		"steps": func(at time.Duration, r *rand.Rand) (float64, int64) {
			return 40*mb + float64(int(at.Minutes())/40)*30*mb + r.Float64()*2*mb, 8
		},
		"the load grows": func(at time.Duration, r *rand.Rand) (float64, int64) {
			load := 10 + at.Minutes()
			return 40*mb + load*2*mb + r.Float64()*mb, int64(load)
		},
		"a burst": func(at time.Duration, r *rand.Rand) (float64, int64) {
			load := 4.0
			if at > 50*time.Minute && at < 80*time.Minute {
				load = 4 + min(60, (at-50*time.Minute).Seconds())
			}
			return 40*mb + load*6*mb + r.Float64()*2*mb, int64(load)
		},
		"noise": func(_ time.Duration, r *rand.Rand) (float64, int64) {
			return 100*mb + r.NormFloat64()*10*mb, 5 + r.Int64N(3)
		},
	} {
		for seed := range uint64(400) {
			if a, at := firstAlarm(w, 2*time.Hour, seed); a != nil {
				t.Errorf("%s, seed %d: after %v: %s, by %s", name, seed, at, a, a.Rule)
				break
			}
		}
	}
}
