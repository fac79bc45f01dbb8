package accesslog

import (
	"bytes"
	"math"
	"strconv"
)

// own reads a line as the format's steps say.
func (p *Parser) own(line []byte, l *Line) bool {
	*l = Line{Status: -1}
	var m moment
	var method, url, query []byte
	for _, s := range p.format.steps {
		if s.before != "" {
			if !bytes.HasPrefix(line, []byte(s.before)) {
				return false
			}
			line = line[len(s.before):]
		}
		if s.field == fieldSkip {
			line = bytes.TrimLeft(line, " \t")
			if !bytes.HasPrefix(line, []byte(s.behind)) {
				return false
			}
			line = line[len(s.behind):]
			continue
		}
		field, rest, ok := upTo(line, s.behind)
		if !ok {
			return false
		}
		line = rest
		switch s.field {
		case fieldDate, fieldBoth:
			ok = p.format.date.read(field, &m)
		case fieldTime:
			ok = p.format.time.read(field, &m)
		case fieldHost:
			l.Address, ok = field, len(field) > 0 && bytes.IndexByte(field, ' ') < 0
		case fieldRequest:
			l.Request = field
		case fieldMethod:
			method = field
		case fieldURL:
			url = field
		case fieldQuery:
			query = bytes.TrimPrefix(field, []byte("?"))
		case fieldStatus:
			l.Status, ok = statusOf(field)
		case fieldBytes:
			l.Bytes, ok = bytesOf(field)
		case fieldReferer:
			l.Referrer = field
		case fieldAgent:
			l.Agent = field
		}
		if !ok {
			return false
		}
	}
	if l.Request == nil {
		if given(query) {
			url = append(append(bytes.Clone(url), '?'), query...)
		}
		l.Request = p.request(method, url)
	}
	var ok bool
	l.Unix, ok = m.unix()
	return ok
}

func given(field []byte) bool { return len(field) > 0 && string(field) != "-" }

// upTo takes a field off that ends where a text stands. In quotes, an escaped
// quote is not its end.
func upTo(line []byte, behind string) (field, rest []byte, ok bool) {
	if behind == "" {
		return line, nil, true
	}
	for at := 0; ; at++ {
		i := bytes.Index(line[at:], []byte(behind))
		if i < 0 {
			return nil, nil, false
		}
		at += i
		if behind[0] != '"' || !escaped(line[:at]) {
			return line[:at], line[at+len(behind):], true
		}
	}
}

// request puts a request together; it is valid until the next one.
func (p *Parser) request(method, url []byte) []byte {
	if len(method) == 0 {
		method = []byte("GET")
	}
	p.built = append(append(append(p.built[:0], method...), ' '), url...)
	p.built = append(p.built, " HTTP/1.1"...)
	return p.built
}

func statusOf(field []byte) (int, bool) {
	n, err := strconv.Atoi(string(field))
	return n, err == nil && len(field) == 3 && n >= 0
}

func bytesOf(field []byte) (int64, bool) {
	if string(field) == "-" {
		return 0, true
	}
	n, err := strconv.ParseInt(string(field), 10, 64)
	return n, err == nil && n >= 0 && len(field) <= maxByteDigits
}

// whole is a number of JSON as a count.
func whole(x float64) (int64, bool) {
	return int64(x), x >= 0 && x == math.Trunc(x) && x < 1e15
}
