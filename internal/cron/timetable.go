package cron

import (
	"hash/fnv"
	"strconv"
	"time"
)

// Times are when something comes.
type Times interface {
	// next returns the first time after a time; false: there is none.
	next(after time.Time) (time.Time, bool)
	// skip returns a time at which it comes so many times later, if that costs less than asking for
	// each; n is how many that are, 0 = it doesn't know better.
	skip(from, to time.Time) (at time.Time, n int)
}

// In has an expression come by the clocks of a place.
func (e *Expression) In(place *time.Location) Times { return placed{e, place} }

type placed struct {
	e  *Expression
	in *time.Location
}

func (p placed) next(after time.Time) (time.Time, bool)       { return p.e.Next(after, p.in) }
func (p placed) skip(from, _ time.Time) (at time.Time, n int) { return from, 0 }

// Every comes each Period, counted from From, in both directions.
type Every struct {
	From   time.Time
	Period time.Duration
}

func (e Every) next(after time.Time) (time.Time, bool) {
	n := after.Sub(e.From) / e.Period
	if after.Before(e.From.Add(n * e.Period)) { // a division cuts towards zero
		n--
	}
	return e.From.Add((n + 1) * e.Period), true
}

func (e Every) skip(from, to time.Time) (at time.Time, n int) {
	n = max(0, int(to.Sub(from)/e.Period)-2*MaxCatchUp)
	return from.Add(time.Duration(n) * e.Period), n
}

// CatchUp says what becomes of times that passed while nobody was there.
type CatchUp string

// The kinds.
const (
	CatchUpLast CatchUp = "last" // the newest one counts
	CatchUpNone CatchUp = "none"
	CatchUpAll  CatchUp = "all" // the newest MaxCatchUp count
)

// MaxCatchUp is how many times are made up for at most.
const MaxCatchUp = 100

// maxLate is how late a time counts as one in time, and maxBack how far back those are counted that don't.
const (
	maxLate = 10 * time.Minute
	maxBack = 366 * 24 * time.Hour
)

// A Timetable is when the ticks of something come, and what becomes of those that are late.
type Timetable struct {
	Times      Times
	Start, End time.Time     // no tick before, none after; zero = any
	Jitter     time.Duration // a tick is due up to this later, always by the same
	Name       string        // whose jitter
	CatchUp    CatchUp
}

// First is the first tick after a time; zero = there is none any more.
func (t *Timetable) First(after time.Time) time.Time {
	if before := t.Start.Add(-1); !t.Start.IsZero() && after.Before(before) {
		after = before
	}
	at, ok := t.Times.next(after)
	if !ok || !t.End.IsZero() && at.After(t.End) {
		return time.Time{}
	}
	return at.UTC()
}

// Due is when a tick is to be made.
func (t *Timetable) Due(tick time.Time) time.Time {
	if tick.IsZero() || t.Jitter < time.Millisecond {
		return tick
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Name + " " + strconv.FormatInt(tick.UnixMilli(), 10))) // can't fail
	return tick.Add(time.Duration(h.Sum64()%uint64(t.Jitter.Milliseconds())) * time.Millisecond)
}

// A Step is from one tick to the next.
type Step struct {
	Tick      time.Time
	Make      bool      // the tick counts
	Missed    int       // how many don't; Tick itself is one of them unless it is made
	Following time.Time // zero = there is none any more
}

// Step decides a tick that is due, and all until now that are late.
//
// One that is late by half the way to the next one, and by ten minutes at most, counts whatever CatchUp
// says: no restart of the programs costs a nightly run.
func (t *Timetable) Step(next, now time.Time) Step {
	following := t.First(next)
	if t.InTime(next, following, now) {
		return Step{Tick: next, Make: true, Following: following}
	}
	ticks, n, following := t.passed(next, now)
	newest := ticks[len(ticks)-1]
	switch {
	case t.CatchUp == CatchUpAll:
		first := max(0, len(ticks)-MaxCatchUp)
		if first+1 < len(ticks) {
			following = ticks[first+1]
		}
		return Step{Tick: ticks[first], Make: true, Missed: n - len(ticks) + first, Following: following}
	case t.CatchUp == CatchUpNone && !t.InTime(newest, following, now):
		return Step{Tick: newest, Missed: n, Following: following}
	}
	return Step{Tick: newest, Make: true, Missed: n - 1, Following: following}
}

// InTime reports whether a tick counts whatever CatchUp says, as far as it is late.
func (t *Timetable) InTime(tick, following, now time.Time) bool {
	late := maxLate
	if !following.IsZero() {
		late = min(late, following.Sub(tick)/2)
	}
	return now.Sub(t.Due(tick)) <= late
}

// passed lists the ticks from next on that are due, the newest of them if there are many, says how
// many there are, and which one follows.
func (t *Timetable) passed(next, now time.Time) (ticks []time.Time, n int, following time.Time) {
	if back := t.First(now.Add(-maxBack)); back.After(next) { // nobody counts further
		next = back
	}
	next, n = t.Times.skip(next, now)
	for {
		ticks, n = append(ticks, next), n+1
		if len(ticks) > 4*MaxCatchUp {
			ticks = append(ticks[:0], ticks[len(ticks)-MaxCatchUp-1:]...)
		}
		following = t.First(next)
		if following.IsZero() || t.Due(following).After(now) {
			return ticks, n, following
		}
		next = following
	}
}
