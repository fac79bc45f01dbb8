// Package memory watches how much memory a process uses, and tells when it only grows. What is judged is
// what lives after a collection, against the load: a heap that goes up and down by garbage grows nowhere,
// and neither does one that holds more because more runs. docs/memory.md tells how to read an alarm.
package memory

import (
	"fmt"
	"math"
	"time"
)

// A Sample is what is known at a moment. Times are by a clock that never jumps.
type Sample struct {
	At    time.Duration
	Bytes int64 // that live
	Load  int64 // what keeps memory: jobs that run, clients that wait, uploads
}

// An Alarm says that memory grows, or that little is left.
type Alarm struct {
	Rule   Rule
	Kind   Kind
	Bytes  int64 // now
	Growth int64 // since Over ago; 0 for Limit
	Over   time.Duration
	Slope  float64 // bytes a second; 0 for Limit
	Limit  int64   // that is exceeded; 0 but for Limit
}

// A Rule is by what an alarm was found.
type Rule string

// The rules.
const (
	Fast  Rule = "fast"  // up at each look, for 50 s
	Quick Rule = "quick" // up over half an hour
	Hour  Rule = "hour"  // up over an hour, also where the load swings
	Limit Rule = "limit" // over what was allowed
)

// A Kind is which memory is meant.
type Kind string

// The kinds.
const (
	Heap  Kind = "heap"     // what lives in Go's heap, and stacks
	Other Kind = "other"    // what the process has beside Go's
	RSS   Kind = "resident" // all of it
)

// String says it to people.
func (a Alarm) String() string {
	const mib = 1 << 20
	if a.Rule == Limit {
		return fmt.Sprintf("its memory is %d MiB, over %d MiB", a.Bytes/mib, a.Limit/mib)
	}
	what := "what lives in its heap"
	if a.Kind == Other {
		what = "its memory beside Go's heap"
	}
	return fmt.Sprintf("%s grew by %d MiB in %v, to %d MiB", what, a.Growth/mib, a.Over.Round(time.Second),
		a.Bytes/mib)
}

// The constants of the rules.
const (
	// Every is the time between two samples.
	Every = 5 * time.Second

	fastLooks = 10      // in a row, of which each …
	fastStep  = 2 << 20 // … finds so much more
	// fastOver is how much more than ever within fastPast there must be: a process that fills and empties
	// again has been as high before.
	fastOver = 10 << 20
	fastPast = 30 * time.Minute

	bin       = 5 * time.Minute // of which the least sample counts
	quickBins = 6
	hourBins  = 12
	ripe      = 15 * time.Minute // of a process, from which on quick and hour count

	leastGrowth = 12 << 20 // bytes, or …
	leastShare  = 0.05     // … this part of what lives
	quickSlope  = 0.5 * (1 << 20) / 60
	quickErrors = 6 // times its error that a slope must be
	hourErrors  = 8
	leastOfSaw  = 0.25 // or this part of what it goes up and down within a bin
	together    = 0.8  // of a correlation's square, from which load and time can't be told apart
	half        = 0.6  // of the first half's growth that the second must be: a cache that fills slows down
	steady      = 0.05
)

// A Judge finds growth in samples. The zero value is ready.
type Judge struct {
	Kind Kind

	begun  bool
	start  time.Duration
	recent []Sample // the last fastLooks+1 that climb
	peaks  []Sample // of each minute of the last fastPast the highest, with when the minute began
	bins   []mean   // closed ones, at most hourBins
	now    mean
}

// mean is a bin of samples: the least of them, and the mean load.
type mean struct {
	begins time.Duration
	least  Sample
	most   int64
	load   float64
	n      float64
}

// Note takes the next sample; nil = nothing is wrong by it.
func (j *Judge) Note(s Sample) *Alarm {
	if !j.begun {
		j.begun, j.start = true, s.At
	}
	j.high(s)
	if a := j.fast(s); a != nil {
		return a
	}
	if s.At-j.start < ripe {
		return nil
	}
	return j.slow(s)
}

// fast is a leak that would fill the memory within minutes.
func (j *Judge) fast(s Sample) *Alarm {
	if n := len(j.recent); n > 0 && s.Bytes-j.recent[n-1].Bytes < fastStep {
		j.recent = j.recent[:0]
	}
	j.recent = append(j.recent, s)
	if len(j.recent) <= fastLooks {
		return nil
	}
	first := j.recent[0]
	j.recent = append(j.recent[:0], j.recent[1:]...)
	if float64(s.Load) > float64(first.Load)*(1+steady) || s.Bytes < j.peak(first.At)+fastOver {
		return nil
	}
	return j.alarm(Fast, first, s)
}

// high takes a sample into the peaks.
func (j *Judge) high(s Sample) {
	if n := len(j.peaks); n > 0 && s.At-j.peaks[n-1].At < time.Minute {
		j.peaks[n-1].Bytes = max(j.peaks[n-1].Bytes, s.Bytes)
		return
	}
	j.peaks = append(j.peaks, s)
	if s.At-j.peaks[0].At > fastPast {
		j.peaks = append(j.peaks[:0], j.peaks[1:]...)
	}
}

// peak is the highest there was until a climb that began then.
func (j *Judge) peak(before time.Duration) (most int64) {
	for _, p := range j.peaks {
		if p.At+time.Minute <= before {
			most = max(most, p.Bytes)
		}
	}
	return most
}

// slow is judged each time that a bin is full.
func (j *Judge) slow(s Sample) *Alarm {
	if j.now.n > 0 && s.At-j.now.begins >= bin {
		j.bins = append(j.bins, j.now)
		if len(j.bins) > hourBins {
			j.bins = append(j.bins[:0], j.bins[1:]...)
		}
		j.now = mean{}
		if a := j.quick(); a != nil {
			return a
		}
		if a := j.hour(); a != nil {
			return a
		}
	}
	if j.now.n == 0 {
		j.now = mean{begins: s.At, least: s}
	}
	j.now.most = max(j.now.most, s.Bytes)
	if s.Bytes < j.now.least.Bytes {
		j.now.least = s
	}
	j.now.load += float64(s.Load)
	j.now.n++
	return nil
}

// quick judges the last half hour, where the load was steady.
func (j *Judge) quick() *Alarm {
	if len(j.bins) < quickBins {
		return nil
	}
	last := j.bins[len(j.bins)-quickBins:]
	low, high := math.Inf(1), 0.0
	for _, b := range last {
		low, high = min(low, b.load/b.n), max(high, b.load/b.n)
	}
	if high > low*(1+steady)+0.5 { // half a job is none
		return nil
	}
	slope, wrong := regress(last, false)
	if slope < quickSlope || slope < quickErrors*wrong || !grown(last) || !climbs(last) {
		return nil
	}
	return j.alarm(Quick, last[0].least, last[len(last)-1].least)
}

// hour judges the last hour, by time and load.
func (j *Judge) hour() *Alarm {
	if len(j.bins) < hourBins {
		return nil
	}
	slope, wrong := regress(j.bins, true)
	if slope <= 0 || slope < hourErrors*wrong || !grown(j.bins) {
		return nil
	}
	return j.alarm(Hour, j.bins[0].least, j.bins[len(j.bins)-1].least)
}

// grown reports whether the growth is worth an alarm, and does not slow down.
func grown(bins []mean) bool {
	n := len(bins)
	first, last := float64(bins[0].least.Bytes), float64(bins[n-1].least.Bytes)
	early := float64(bins[n/2-1].least.Bytes) - first
	late := last - float64(bins[n/2].least.Bytes)
	saw := int64(0)
	for _, b := range bins {
		saw = max(saw, b.most-b.least.Bytes)
	}
	return last-first >= max(leastGrowth, leastShare*first, leastOfSaw*float64(saw)) && late >= half*early
}

// climbs reports whether each bin has more than the one before.
func climbs(bins []mean) bool {
	for i := range bins[1:] {
		if bins[i+1].least.Bytes <= bins[i].least.Bytes {
			return false
		}
	}
	return true
}

func (j *Judge) alarm(rule Rule, from, to Sample) *Alarm {
	over := to.At - from.At
	return &Alarm{Rule: rule, Kind: j.Kind, Bytes: to.Bytes, Growth: to.Bytes - from.Bytes, Over: over,
		Slope: float64(to.Bytes-from.Bytes) / over.Seconds()}
}

// regress is the slope of bytes over time by least squares, in bytes a second, and its standard error. With
// loads it is that beside what the load explains.
func regress(bins []mean, loads bool) (slope, wrong float64) {
	n := float64(len(bins))
	var mt, ml, mb float64
	for _, b := range bins {
		mt += b.least.At.Seconds() / n
		ml += b.load / b.n / n
		mb += float64(b.least.Bytes) / n
	}
	var tt, ll, tl, tb, lb, bb float64
	for _, b := range bins {
		t, l, y := b.least.At.Seconds()-mt, b.load/b.n-ml, float64(b.least.Bytes)-mb
		tt, ll, tl = tt+t*t, ll+l*l, tl+t*l
		tb, lb, bb = tb+t*y, lb+l*y, bb+y*y
	}
	if !loads || ll == 0 {
		slope = tb / tt
		return slope, math.Sqrt(max(0, bb-slope*tb) / (n - 2) / tt)
	}
	if tl*tl > together*tt*ll {
		return 0, math.Inf(1) // nobody can tell what the load does from what time does
	}
	det := tt*ll - tl*tl
	slope = (tb*ll - lb*tl) / det
	byLoad := (lb*tt - tb*tl) / det
	rest := max(0, bb-slope*tb-byLoad*lb)
	return slope, math.Sqrt(rest / (n - 3) * ll / det)
}
