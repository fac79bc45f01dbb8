package cron

import (
	"math/bits"
	"time"
)

// horizon is how far ahead a time is looked for: the longest way between two
// 29ths of February, over a year like 1900.
const horizon = 8*366 + 1

// naive finds the first time from t on that is named, on a clock that is never
// turned; t is in UTC and has whole minutes.
func (e *Expression) naive(t time.Time) (time.Time, bool) {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for range horizon {
		if e.months&(1<<day.Month()) == 0 || !e.day(day) {
			day = day.AddDate(0, 0, 1)
			continue
		}
		hour, minute := 0, 0
		if day.Before(t) {
			hour, minute = t.Hour(), t.Minute()
		}
		if m, ok := e.inDay(hour, minute); ok {
			return day.Add(time.Duration(m) * time.Minute), true
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}, false
}

// inDay finds the first minute of a day, from one of its minutes on.
func (e *Expression) inDay(hour, minute int) (int, bool) {
	if e.hours&(1<<hour) != 0 {
		if rest := e.minutes >> minute; rest != 0 {
			return hour*60 + minute + bits.TrailingZeros64(rest), true
		}
	}
	later := e.hours >> (hour + 1)
	if later == 0 {
		return 0, false
	}
	return (hour+1+bits.TrailingZeros64(later))*60 + bits.TrailingZeros64(e.minutes), true
}

// Next returns the first time after a time, on the clocks of a place. false: it doesn't
// come within eight years.
//
// Where clocks are turned, an expression that names each hour follows the clock: minutes
// that are doubled come twice, those that are missing never. Of any other one what is missing
// comes once, at the first minute after the gap, and what is doubled at its first time.
func (e *Expression) Next(after time.Time, in *time.Location) (time.Time, bool) {
	// In pieces between two turns of the clocks, in each of which they are ahead by the same.
	u, last := after.In(in), after.AddDate(9, 0, 0)
	for u.Before(last) {
		start, end := u.ZoneBounds()
		ahead := aheadAt(u)
		wall := wallOf(u, ahead)
		if !wall.Add(-ahead).After(after) {
			wall = wall.Add(time.Minute)
		}
		if !start.IsZero() && !e.wild() {
			before := aheadAt(start.Add(-time.Second).In(in))
			turned := wallOf(start, before) // what the clocks showed, had they not been turned
			switch begun := wallOf(start, ahead); {
			case begun.After(turned): // a gap
				first := begun.Add(-ahead)
				if !first.After(after) {
					break
				}
				if missed, ok := e.naive(turned); ok && missed.Before(begun) {
					return first.In(in), true
				}
			case wall.Before(turned): // doubled: they came before
				wall = turned
			}
		}
		found, ok := e.naive(wall)
		if !ok {
			return time.Time{}, false
		}
		if at := found.Add(-ahead); end.IsZero() || at.Before(end) {
			return at.In(in), true
		}
		u = end.In(in)
	}
	return time.Time{}, false
}

func aheadAt(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// wallOf is what clocks show that are ahead of UTC, as a time in UTC, rounded up to a whole minute.
func wallOf(t time.Time, ahead time.Duration) time.Time {
	wall := t.UTC().Add(ahead)
	if whole := wall.Truncate(time.Minute); whole.Before(wall) {
		return whole.Add(time.Minute)
	}
	return wall
}
