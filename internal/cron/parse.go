// Package cron reads cron expressions and tells when they come, in any time zone. It
// knows neither jobs nor Redis.
//
// The five fields are minute, hour, day of the month, month and day of the week, with
// lists, ranges, steps and English names; 7 is Sunday, too. There are @hourly, @daily,
// @midnight, @weekly, @monthly, @yearly and @annually. A time comes if its day of the
// month or its day of the week is named, or both are where one of the two begins
// with *. All that other programs read in different ways is refused.
package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// maxLen bounds an expression, in bytes.
const maxLen = 256

// An Expression is a cron expression that was read.
type Expression struct {
	minutes, hours, days, months, weekdays uint64 // a bit a value

	either bool // a day of the month or a day of the week is enough
}

// A SyntaxError says what is wrong with an expression, and where.
type SyntaxError struct {
	At     int    // number of the character, from 1
	Detail string // for a person
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("at character %d: %s", e.At, e.Detail) }

// A field is one of the five.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var fields = [5]field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of the month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG",
		"SEP", "OCT", "NOV", "DEC"}},
	{name: "day of the week", max: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

var macros = map[string]string{"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
	"@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}

// Parse reads an expression. The error is a *SyntaxError.
func Parse(text string) (*Expression, error) {
	if len(text) > maxLen {
		return nil, &SyntaxError{maxLen + 1, fmt.Sprintf("it is longer than %d bytes", maxLen)}
	}
	words, places := split(text)
	switch {
	case len(words) == 0:
		return nil, &SyntaxError{1, "it is empty: expected five fields, as 0 9 * * 1-5"}
	case strings.Contains(words[0], "="):
		return nil, &SyntaxError{places[0], "a time zone has a field of its own, timezone"}
	case words[0][0] == '@' && len(words) == 1:
		macro, ok := macros[words[0]]
		if !ok {
			return nil, &SyntaxError{places[0], fmt.Sprintf(
				"there is no %q: expected @hourly, @daily, @weekly, @monthly or @yearly", words[0])}
		}
		words, places = split(macro)
	case len(words) != len(fields):
		return nil, wrongCount(words, places, len(text))
	}
	var e Expression
	for i, to := range []*uint64{&e.minutes, &e.hours, &e.days, &e.months, &e.weekdays} {
		var err error
		if *to, err = fields[i].parse(words[i], places[i]); err != nil {
			return nil, err
		}
	}
	if e.weekdays&(1<<7) != 0 {
		e.weekdays = e.weekdays&^(1<<7) | 1
	}
	e.either = words[2][0] != '*' && words[4][0] != '*'
	if !e.comes() {
		return nil, &SyntaxError{places[2], "it never comes: there is no such day within eight years"}
	}
	return &e, nil
}

func wrongCount(words []string, places []int, size int) error {
	at, hint := size+1, ""
	if len(words) > len(fields) {
		at, hint = places[len(fields)], "; there are no seconds and no years"
	}
	return &SyntaxError{at,
		fmt.Sprintf("expected five fields (minute, hour, day, month, weekday), found %d%s",
			len(words), hint)}
}

// split returns the words of a text, and where they stand, from 1 on.
func split(text string) (words []string, places []int) {
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		n := strings.IndexAny(text[i:], " \t")
		if n < 0 {
			n = len(text) - i
		}
		words, places = append(words, text[i:i+n]), append(places, i+1)
		i += n
	}
	return words, places
}

// parse reads one field, which stands at a place.
func (f *field) parse(text string, at int) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		one, err := f.item(part, at)
		if err != nil {
			return 0, err
		}
		set |= one
		at += len(part) + 1
	}
	return set, nil
}

// item reads one item of a list: a value or a range, or * or a range with a step.
func (f *field) item(text string, at int) (set uint64, err error) {
	bad := func(offset int, format string, args ...any) error {
		return &SyntaxError{at + offset, f.name + ": " + fmt.Sprintf(format, args...)}
	}
	body, stepText, stepped := strings.Cut(text, "/")
	if body == "" {
		return 0, bad(0, "expected a value, a range or *")
	}
	from, to := f.min, f.max
	if f.max == 7 && body == "*" {
		to = 6 // Sunday once
	}
	low, high, isRange := strings.Cut(body, "-")
	switch {
	case body == "*":
	case isRange:
		if from, err = f.value(low, at); err != nil {
			return 0, err
		}
		if to, err = f.value(high, at+len(low)+1); err != nil {
			return 0, err
		}
		if from > to {
			return 0, bad(0, "the range %s runs backwards: write two, as in a list", body)
		}
	default:
		if from, err = f.value(body, at); err != nil {
			return 0, err
		}
		if to = from; stepped {
			return 0, bad(len(body), "a step needs * or a range before it: %s-%d/%s?", body, f.max, stepText)
		}
	}
	step := 1
	if stepped {
		offset := len(body) + 1
		if step, err = number(stepText); err != nil {
			return 0, bad(offset, "expected a number as step, found %q", stepText)
		}
		if step < 1 || step > f.max-f.min+1 {
			return 0, bad(offset, "a step is 1 to %d, found %d", f.max-f.min+1, step)
		}
	}
	for v := from; v <= to; v += step {
		set |= 1 << v
	}
	return set, nil
}

// value reads one number or name.
func (f *field) value(text string, at int) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, nil
		}
	}
	n, err := number(text)
	if err != nil {
		expected := "a number"
		if f.names != nil {
			expected = "a number or a name, as " + f.names[1]
		}
		return 0, &SyntaxError{at, fmt.Sprintf("%s: expected %s, found %q", f.name, expected, text)}
	}
	if n < f.min || n > f.max {
		return 0, &SyntaxError{at, fmt.Sprintf("%s: expected %d to %d, found %s", f.name, f.min, f.max, text)}
	}
	return n, nil
}

// number reads decimal digits, at most four.
func number(text string) (int, error) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(text)
}

// comes reports whether there is such a day.
func (e *Expression) comes() bool {
	// From a year on in which eight years without a 29th of February begin.
	_, ok := e.naive(time.Date(1896, 3, 1, 0, 0, 0, 0, time.UTC))
	return ok
}

// wild reports whether each hour is named.
func (e *Expression) wild() bool { return bits.OnesCount64(e.hours) == 24 }

func (e *Expression) day(t time.Time) bool {
	day, weekday := e.days&(1<<t.Day()) != 0, e.weekdays&(1<<t.Weekday()) != 0
	if e.either {
		return day || weekday
	}
	return day && weekday
}
