package httpapi

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrDuration says that a text is no duration.
var ErrDuration = errors.New("expected a duration like 1500ms, 25s or 2h; a bare number is seconds")

// DurationPattern is the form of a duration in a text, as a regular expression.
const DurationPattern = `^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)?$|^[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`

var durationForm = regexp.MustCompile(DurationPattern)

// ParseDuration reads the form of time.ParseDuration, or a bare number of
// seconds. What is too long for a time.Duration becomes the longest one, so
// that an absurd wait can be cut down instead of refused.
func ParseDuration(text string) (time.Duration, error) {
	if d, ok := plainDuration(text); ok {
		return d, nil
	}
	if len(text) > 64 || !durationForm.MatchString(text) {
		return 0, ErrDuration
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return saturate(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	// The form is right, so it overflowed.
	if text[0] == '-' {
		return math.MinInt64, nil
	}
	return math.MaxInt64, nil
}

// plainDuration reads what nearly all durations are: a few digits, and ms, s or
// nothing behind them. The rest of ParseDuration needs more time and stack than
// all else that a long-poll does before it waits.
func plainDuration(text string) (time.Duration, bool) {
	unit := time.Second
	digits, milli := strings.CutSuffix(text, "ms")
	if milli {
		unit = time.Millisecond
	} else {
		digits = strings.TrimSuffix(text, "s")
	}
	if digits == "" || len(digits) > 9 {
		return 0, false
	}
	n := time.Duration(0)
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + time.Duration(c-'0')
	}
	return n * unit, true
}

func saturate(ns float64) time.Duration {
	switch {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	default:
		return time.Duration(math.Round(ns))
	}
}

// FormatDuration writes a duration as ParseDuration reads it, in the largest
// unit that needs no fraction: "25s", "1500ms", "2h".
func FormatDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	if d == 0 {
		return "0s"
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// secondsOf reads a number of seconds, in JSON.
func secondsOf(number []byte) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, ErrDuration
	}
	return saturate(seconds * float64(time.Second)), nil
}
