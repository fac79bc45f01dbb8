package accesslog

import (
	"errors"
	"fmt"
	"strings"
)

// The names of formats.
const (
	Auto          = "auto" // each line in whichever of the others it is
	Common        = "common"
	Combined      = "combined"
	VHostCommon   = "vhost_common"
	VHostCombined = "vhost_combined"
	JSON          = "json"
)

type kind uint8

const (
	kindAuto kind = iota
	kindCommon
	kindCombined
	kindVHostCommon
	kindVHost
	kindJSON
	kindOwn
)

// kinds are the formats by name, ours and goaccess's.
var kinds = map[string]kind{
	"": kindAuto, Auto: kindAuto, Common: kindCommon, Combined: kindCombined,
	VHostCommon: kindVHostCommon, VHostCombined: kindVHost, JSON: kindJSON,
	"COMMON": kindCommon, "COMBINED": kindCombined, "VCOMMON": kindVHostCommon, "VCOMBINED": kindVHost,
	"CADDY": kindJSON,
}

// A Format says what a line of a log looks like. It is safe for concurrent use.
type Format struct {
	kind  kind
	steps []step // of kindOwn
	date  *clock // of %d, and of %x
	time  *clock // of %t
}

// A step takes one field off a line, and the text behind it.
type step struct {
	before string // text in front of the first field; of that step only
	field  byte   // its letter; 0 = none, only blanks are skipped
	behind string // "" = it goes to the end of the line
}

// fields are the letters that goaccess's log-format has, with what each stands for.
const (
	fieldDate    = 'd'
	fieldTime    = 't'
	fieldBoth    = 'x'
	fieldHost    = 'h'
	fieldRequest = 'r'
	fieldMethod  = 'm'
	fieldURL     = 'U'
	fieldQuery   = 'q'
	fieldStatus  = 's'
	fieldBytes   = 'b'
	fieldReferer = 'R'
	fieldAgent   = 'u'
	fieldSkip    = '~'

	// Of these nothing is reported: anything, the protocol, virtual host, user,
	// cache, content type, TLS, and how long it took.
	fieldsIgnored = "^HvreCMKkDTLn"
)

// ErrFormat says that a description of a format can't be used; its text says why.
var ErrFormat = errors.New("not a log format")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// ParseFormat returns the format of a name, or the one that a text with percent
// signs describes as goaccess's log-format does. date and time describe %d and
// %t as strptime(3) does; empty, they are %d/%b/%Y and %H:%M:%S. Of %x both are
// found in one place: one of them then describes it whole, or else it is as in
// RFC 3339. Times without a zone are in UTC. The error is ErrFormat.
func ParseFormat(format, date, time string) (*Format, error) {
	known, ok := kinds[format]
	if ok {
		if date != "" || time != "" {
			return nil, wrong("a date or time format goes with a log format that has percent signs")
		}
		return &Format{kind: known}, nil
	}
	if !strings.Contains(format, "%") {
		return nil, wrong("neither a known name nor a text with percent signs")
	}
	f := &Format{kind: kindOwn}
	if err := f.split(format); err != nil {
		return nil, err
	}
	has := func(fields string) bool {
		for _, s := range f.steps {
			if s.field != 0 && strings.IndexByte(fields, s.field) >= 0 {
				return true
			}
		}
		return false
	}
	switch {
	case !has("h"):
		return nil, wrong("without %%h, the client's address")
	case !has("dx"):
		return nil, wrong("without %%d or %%x, the date")
	case !has("rU"):
		return nil, wrong("without %%r or %%U, what was asked for")
	case has("x") && has("dt"):
		return nil, wrong("with %%x, which is date and time, and one of the two by itself")
	}
	return f, f.clocks(date, time, has("x"))
}

// clocks sets how dates and times are written.
func (f *Format) clocks(date, time string, together bool) error {
	var err error
	if !together {
		if f.date, err = newClock(date, "%d/%b/%Y"); err != nil {
			return err
		}
		f.time, err = newClock(time, "%H:%M:%S")
		return err
	}
	switch {
	case date == "":
		date = time
	case time != "" && time != date:
		date += " " + time
	}
	f.date, err = newClock(date, "%Y-%m-%dT%H:%M:%S%z")
	return err
}

// split takes a description apart.
func (f *Format) split(format string) error {
	text := "" // since the last field
	seen := map[byte]bool{}
	flush := func() {
		if n := len(f.steps); n > 0 {
			f.steps[n-1].behind = text
		} else if text != "" {
			f.steps = append(f.steps, step{before: text, field: fieldSkip})
		}
		text = ""
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			text += format[i : i+1]
			continue
		}
		if i++; i == len(format) {
			return wrong("a percent sign at its end")
		}
		field := format[i]
		switch {
		case field == '%':
			text += "%"
			continue
		case strings.IndexByte("dtxhrmUqsbRu", field) >= 0:
			if seen[field] {
				return wrong("%%%c is there twice", field)
			}
			seen[field] = true
		case field != fieldSkip && strings.IndexByte(fieldsIgnored, field) < 0:
			return wrong("%%%c is not known", field)
		}
		if n := len(f.steps); n > 0 && text == "" && f.steps[n-1].field != fieldSkip && field != fieldSkip {
			return wrong("nothing stands between %%%c and %%%c", f.steps[n-1].field, field)
		}
		flush()
		f.steps = append(f.steps, step{field: field})
	}
	flush()
	return nil
}
