package jq

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// decode turns a checked JSON text into gojq's values. Of several members with
// one name the last one counts; a number that is no short integer keeps its
// digits; half a surrogate pair becomes U+FFFD. All that is as encoding/json
// and gojq have it.
func decode(text []byte) any {
	d := decoder{b: text}
	d.skip()
	return d.value()
}

type decoder struct {
	b       []byte
	i       int
	members *members // nil: nobody asks for the order of members
}

func (d *decoder) skip() {
	for d.i < len(d.b) && d.b[d.i] <= ' ' {
		d.i++
	}
}

func (d *decoder) value() any {
	switch d.b[d.i] {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return d.str()
	case 't':
		d.i += 4
		return true
	case 'f':
		d.i += 5
		return false
	case 'n':
		d.i += 4
		return nil
	}
	start := d.i
	for d.i < len(d.b) && isNumber[d.b[d.i]] {
		d.i++
	}
	return number(d.b[start:d.i])
}

var isNumber = [256]bool{'-': true, '+': true, '.': true, 'e': true, 'E': true, '0': true, '1': true,
	'2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true}

// number returns an int or, where that would change the text, a json.Number.
func number(text []byte) any {
	if n, ok := integer(text); ok {
		return int(n)
	}
	return json.Number(text)
}

// integer reads a number of at most 18 digits without fraction and exponent.
func integer(text []byte) (n int64, ok bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c-'0' > 9 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if len(digits) < len(text) {
		return -n, n != 0 // "-0" is no int
	}
	return n, true
}

func (d *decoder) object() any {
	m := map[string]any{}
	var few [16]string
	names := few[:0]
	d.i++
	for d.skip(); d.b[d.i] != '}'; d.skip() {
		if d.b[d.i] == ',' {
			d.i++
			d.skip()
		}
		key := d.str()
		d.skip()
		d.i++ // the colon
		d.skip()
		if d.members != nil {
			if _, twice := m[key]; !twice {
				names = append(names, key)
			}
		}
		m[key] = d.value()
	}
	d.i++
	if d.members != nil {
		d.members.note(m, names)
	}
	return m
}

func (d *decoder) array() any {
	list := []any{}
	d.i++
	for d.skip(); d.b[d.i] != ']'; d.skip() {
		if d.b[d.i] == ',' {
			d.i++
			d.skip()
		}
		list = append(list, d.value())
	}
	d.i++
	return list
}

func (d *decoder) str() string {
	d.i++
	start, escaped := d.i, false
	for d.b[d.i] != '"' {
		if d.b[d.i] == '\\' {
			escaped = true
			d.i++
		}
		d.i++
	}
	raw := d.b[start:d.i]
	d.i++
	if !escaped {
		return string(raw)
	}
	return unquote(raw)
}

// unquote undoes the escapes of a checked string, its quotes not included.
func unquote(raw []byte) string { return string(AppendUnquoted(make([]byte, 0, len(raw)), raw)) }

// AppendUnquoted appends what a string of a checked record means; raw is what
// stands between its quotes.
func AppendUnquoted(to, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(to, raw...)
		}
		to = append(to, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low = hex4(raw[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					raw = raw[6:]
				}
			}
			to = utf8.AppendRune(to, r)
		default:
			to = append(to, c)
		}
	}
}

func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
