package accesslog

import (
	"strings"
	"time"
)

// A clock reads a time that is written as a format of strptime(3) says.
type clock struct{ format string }

// shorthands are conversions that stand for others.
var shorthands = strings.NewReplacer("%T", "%H:%M:%S", "%R", "%H:%M", "%D", "%m/%d/%y", "%F", "%Y-%m-%d",
	"%%", "%%")

func newClock(format, otherwise string) (*clock, error) {
	if format == "" {
		format = otherwise
	}
	format = shorthands.Replace(format)
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		if i++; i == len(format) || strings.IndexByte("%deHIMSpmbBhYyzZsf*nt", format[i]) < 0 {
			return nil, wrong("a conversion in the date or time format is not known")
		}
	}
	return &clock{format}, nil
}

// A moment is what was read of a time so far.
type moment struct {
	year, month, day     int
	hour, minute, second int
	afternoon, twelve    bool
	offset               int // of the zone, in seconds
	epoch                int64
	isEpoch              bool
}

func (m *moment) unix() (int64, bool) {
	if m.isEpoch {
		return m.epoch, true
	}
	if m.twelve {
		if m.hour < 1 || m.hour > 12 {
			return 0, false
		}
		m.hour %= 12
		if m.afternoon {
			m.hour += 12
		}
	}
	t := time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, 0, time.UTC)
	if m.month < 1 || m.month > 12 || t.Day() != m.day && m.second < 60 || m.day < 1 || m.day > 31 ||
		m.hour > 23 || m.minute > 59 || m.second > 60 {
		return 0, false
	}
	return t.Unix() - int64(m.offset), true
}

// read reads s into m. A fraction of a second, and text behind, are left over.
func (c *clock) read(s []byte, m *moment) bool {
	for i := 0; i < len(c.format); i++ {
		b := c.format[i]
		if b != '%' {
			if len(s) == 0 || s[0] != b {
				return false
			}
			s = s[1:]
			continue
		}
		i++
		var ok bool
		if s, ok = m.take(c.format[i], s); !ok {
			return false
		}
	}
	return true
}

// take reads one conversion.
func (m *moment) take(conversion byte, s []byte) (rest []byte, ok bool) {
	switch conversion {
	case '%':
		return s[min(1, len(s)):], len(s) > 0 && s[0] == '%'
	case 'n', 't':
		for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
			s = s[1:]
		}
		return s, true
	case 'p':
		if len(s) < 2 || s[1]|0x20 != 'm' || s[0]|0x20 != 'a' && s[0]|0x20 != 'p' {
			return s, false
		}
		m.afternoon = s[0]|0x20 == 'p'
		return s[2:], true
	case 'b', 'B', 'h':
		if len(s) < 3 {
			return s, false
		}
		name := []byte{s[0] &^ 0x20, s[1] | 0x20, s[2] | 0x20}
		if m.month = monthNumber(name); m.month == 0 {
			return s, false
		}
		long := len(time.Month(m.month).String())
		if conversion == 'B' && len(s) >= long && strings.EqualFold(string(s[:long]),
			time.Month(m.month).String()) {
			return s[long:], true
		}
		return s[3:], true
	case 'z', 'Z':
		return m.zone(s)
	}
	return m.number(conversion, s)
}

// number reads a conversion of digits.
func (m *moment) number(conversion byte, s []byte) (rest []byte, ok bool) {
	width := map[byte]int{'Y': 4, 's': 18, 'f': 9, '*': 18}[conversion]
	if width == 0 {
		width = 2
	}
	if conversion == 'e' && len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	n, value := 0, int64(0)
	for n < len(s) && n < width && s[n]-'0' <= 9 {
		value = value*10 + int64(s[n]-'0')
		n++
	}
	if n == 0 {
		return s, false
	}
	switch v := int(value); conversion {
	case 'd', 'e':
		m.day = v
	case 'm':
		m.month = v
	case 'Y':
		m.year = v
	case 'y':
		if m.year = 2000 + v; v > 68 {
			m.year = 1900 + v
		}
	case 'H':
		m.hour = v
	case 'I':
		m.hour, m.twelve = v, true
	case 'M':
		m.minute = v
	case 'S':
		m.second = v
	case 's', '*':
		m.epoch, m.isEpoch = seconds(value), true
	}
	return s[n:], true
}

// seconds makes seconds since 1970 of a count of them, or of milli-, micro- or
// nanoseconds.
func seconds(n int64) int64 {
	for range 3 {
		if n < 1e11 { // the year 5138
			break
		}
		n /= 1000
	}
	return n
}

// zone reads Z, a name (which counts as UTC), or +hh, +hhmm or +hh:mm.
func (m *moment) zone(s []byte) (rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '+' && s[0] != '-' {
		n := 0
		for n < len(s) && s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' {
			n++
		}
		return s[n:], n > 0
	}
	digits := [4]byte{'0', '0', '0', '0'}
	n, i := 0, 1
	for ; i < len(s) && n < 4; i++ {
		if s[i] == ':' && n == 2 {
			continue
		}
		if s[i]-'0' > 9 {
			break
		}
		digits[n] = s[i]
		n++
	}
	hours, minutes := twoDigits(digits[:2]), twoDigits(digits[2:])
	if n != 2 && n != 4 || hours > 23 || minutes > 59 {
		return s, false
	}
	if m.offset = hours*3600 + minutes*60; s[0] == '-' {
		m.offset = -m.offset
	}
	return s[i:], true
}
