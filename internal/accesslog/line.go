package accesslog

import (
	"bytes"
	"net/netip"
	"time"
)

// A Line is one line of an access log. Its slices are valid until the next one
// is read, and are as the server wrote them, escapes included.
type Line struct {
	Address  []byte
	Unix     int64 // seconds since 1970, UTC
	Request  []byte
	Status   int    // -1 if the format has none
	Bytes    int64  // 0 for "-"
	Referrer []byte // nil if the format has none
	Agent    []byte // nil if the format has none
}

// A Parser reads the lines of one log. In the Common and Combined log formats of
// Apache (https://httpd.apache.org/docs/current/mod/mod_log_config.html) and
// nginx they are
//
//	host ident user [02/Jan/2006:15:04:05 -0700] "request" status bytes
//	host ident user [02/Jan/2006:15:04:05 -0700] "request" status bytes "referrer" "user agent"
//
// and with the name of a virtual host and a blank before that, in those of
// virtual hosts. A line that is cut off behind the bytes is taken as far as it
// goes, and fields that a server's own format adds at the end are ignored. A
// parser remembers the last day it met, for working out a date is the slowest
// part. It is not safe for concurrent use.
type Parser struct {
	format *Format
	day    [11]byte // as written
	zone   [6]byte  // as written, with the space
	base   int64    // the day's midnight there, as Unix time
	built  []byte   // a request that was put together
}

// NewParser returns a parser for lines of that format.
func NewParser(f *Format) *Parser { return &Parser{format: f} }

// Parse reads one line into l and reports whether it is well-formed.
func (p *Parser) Parse(line []byte, l *Line) bool {
	switch p.format.kind {
	case kindAuto:
		if len(line) > 0 && line[0] == '{' {
			return p.json(line, l)
		}
		return p.plain(line, l) || p.vhost(line, l)
	case kindVHost, kindVHostCommon:
		return p.vhost(line, l)
	case kindJSON:
		return p.json(line, l)
	case kindOwn:
		return p.own(line, l)
	}
	return p.plain(line, l)
}

// vhost reads a line with a virtual host in front. What comes next must be an
// address or a name, else any line with a word too many would be taken.
func (p *Parser) vhost(line []byte, l *Line) bool {
	host, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(host) == 0 || host[0] == '[' && bytes.IndexByte(host, ']') < 0 || !p.plain(rest, l) {
		return false
	}
	if bytes.IndexByte(l.Address, '.') > 0 {
		return true
	}
	_, err := netip.ParseAddr(string(l.Address))
	return err == nil
}

// plain reads a line in Common or Combined format.
func (p *Parser) plain(line []byte, l *Line) bool {
	space := bytes.IndexByte(line, ' ')
	if space <= 0 {
		return false
	}
	l.Address = line[:space]
	rest, ok := p.clientTime(line[space:], l)
	if !ok || len(rest) < 2 || rest[0] != ' ' || rest[1] != '"' {
		return false
	}
	if l.Request, rest, ok = quoted(rest[2:]); !ok {
		return false
	}
	if rest, ok = statusAndBytes(rest, l); !ok {
		return false
	}
	l.Referrer, l.Agent = nil, nil
	more := len(rest) >= 2 && rest[0] == ' ' && rest[1] == '"'
	switch {
	case p.format.kind == kindCommon, p.format.kind == kindVHostCommon:
		return len(rest) == 0
	case !more:
		return p.format.kind == kindAuto && (len(rest) == 0 || rest[0] == ' ')
	}
	l.Referrer, rest, _ = quoted(rest[2:])
	if len(rest) >= 2 && rest[0] == ' ' && rest[1] == '"' {
		l.Agent, _, _ = quoted(rest[2:])
	}
	return true
}

// clientTime reads " ident user [time]" and returns what follows. The user may
// hold anything, brackets too; so the time is the first that reads as one.
func (p *Parser) clientTime(s []byte, l *Line) (rest []byte, ok bool) {
	const timeLen = len("[02/Jan/2006:15:04:05 -0700]")
	if len(s) >= 5+timeLen && string(s[:6]) == " - - [" { // nearly every line
		if l.Unix, ok = p.time(s[5:]); ok {
			return s[5+timeLen:], true
		}
	}
	for at := 1; ; at++ {
		i := bytes.IndexByte(s[at:], '[')
		if i < 0 || len(s) < at+i+timeLen {
			return nil, false
		}
		at += i
		if l.Unix, ok = p.time(s[at:]); ok && s[at-1] == ' ' {
			return s[at+timeLen:], identUser(s[1:at])
		}
	}
}

// identUser checks "ident user ". Another field in front, as the virtual host
// that some servers add, would make the ident an address and the user start
// with another ident: such a line is in another format.
func identUser(s []byte) bool {
	ident, user, ok := bytes.Cut(s, []byte(" "))
	if !ok || len(ident) == 0 || len(user) < 2 {
		return false
	}
	return string(ident) == "-" || bytes.IndexByte(user[:len(user)-1], ' ') < 0
}

// time reads "[02/Jan/2006:15:04:05 -0700]"; s has that length at least.
func (p *Parser) time(s []byte) (unix int64, ok bool) {
	_ = s[27]
	if s[0] != '[' || s[12] != ':' || s[15] != ':' || s[18] != ':' || s[27] != ']' {
		return 0, false
	}
	hour, minute, second := twoDigits(s[13:]), twoDigits(s[16:]), twoDigits(s[19:])
	if hour > 23 || minute > 59 || second > 60 { // 60 is a leap second
		return 0, false
	}
	if string(p.day[:]) != string(s[1:12]) || string(p.zone[:]) != string(s[21:27]) {
		if !p.newDay(s) {
			return 0, false
		}
	}
	return p.base + int64(hour*3600+minute*60+second), true
}

// newDay works out the day and the zone of a time in brackets.
func (p *Parser) newDay(s []byte) bool {
	day, month, century, year := twoDigits(s[1:]), monthNumber(s[4:7]), twoDigits(s[8:]), twoDigits(s[10:])
	zoneHours, zoneMinutes := twoDigits(s[23:]), twoDigits(s[25:])
	if s[3] != '/' || s[7] != '/' || s[21] != ' ' || s[22] != '+' && s[22] != '-' || month == 0 ||
		century == bad || year == bad || zoneHours > 23 || zoneMinutes > 59 {
		return false
	}
	midnight := time.Date(century*100+year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if midnight.Day() != day { // no such day in that month
		return false
	}
	offset := int64(zoneHours*3600 + zoneMinutes*60)
	if s[22] == '-' {
		offset = -offset
	}
	p.base = midnight.Unix() - offset
	copy(p.day[:], s[1:12])
	copy(p.zone[:], s[21:27])
	return true
}

// bad is what twoDigits returns for anything but two digits.
const bad = 1000

func twoDigits(s []byte) int {
	a, b := s[0]-'0', s[1]-'0'
	if a > 9 || b > 9 {
		return bad
	}
	return int(a)*10 + int(b)
}

// monthNumber returns 1 to 12 for Jan to Dec, 0 for anything else.
func monthNumber(s []byte) int {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(names); i += 3 {
		if names[i:i+3] == string(s) {
			return i/3 + 1
		}
	}
	return 0
}

// quoted reads a field up to its closing quote, the opening one being read
// already, and returns what follows. Servers escape a quote within as \" or
// \x22; a bare one is taken as part of the field where no space follows. A
// field that is not closed goes to the end of the line, and ok is false.
func quoted(s []byte) (field, rest []byte, ok bool) {
	for at := 0; ; at++ {
		i := bytes.IndexByte(s[at:], '"')
		if i < 0 {
			return s, nil, false
		}
		at += i
		if at+1 < len(s) && s[at+1] != ' ' {
			continue
		}
		if at > 0 && s[at-1] == '\\' && escaped(s[:at]) {
			continue
		}
		return s[:at], s[at+1:], true
	}
}

// escaped reports whether s ends with an odd number of backslashes.
func escaped(s []byte) bool {
	n := len(s)
	for n > 0 && s[n-1] == '\\' {
		n--
	}
	return (len(s)-n)%2 == 1
}

// statusAndBytes reads " 200 1234" or " 304 -" and returns what follows.
func statusAndBytes(s []byte, l *Line) (rest []byte, ok bool) {
	if len(s) < 6 || s[0] != ' ' || s[4] != ' ' {
		return nil, false
	}
	a, b, c := s[1]-'0', s[2]-'0', s[3]-'0'
	if a > 9 || b > 9 || c > 9 {
		return nil, false
	}
	l.Status, l.Bytes = int(a)*100+int(b)*10+int(c), 0
	s = s[5:]
	if s[0] == '-' {
		return s[1:], true
	}
	n := 0
	for n < len(s) && s[n]-'0' <= 9 {
		l.Bytes = l.Bytes*10 + int64(s[n]-'0')
		if n++; n > maxByteDigits {
			return nil, false
		}
	}
	return s[n:], n > 0
}

// maxByteDigits bounds the size of one response: under a petabyte.
const maxByteDigits = 15

// SplitRequest takes "GET /path HTTP/1.1" apart. What clients send need not be a
// request at all: then the method is nil. HTTP/0.9 has no protocol at its end.
func SplitRequest(s []byte) (method, path []byte) {
	i := bytes.IndexByte(s, ' ')
	if i <= 0 || i > maxMethod {
		return nil, nil
	}
	for _, c := range s[:i] {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return nil, nil
		}
	}
	method, path = s[:i], s[i+1:]
	const protocol = " HTTP/1.1"
	if n := len(path) - len(protocol); n >= 0 && string(path[n:n+6]) == protocol[:6] {
		path = path[:n]
	} else if n := bytes.LastIndex(path, []byte(protocol[:6])); n >= 0 {
		path = path[:n]
	}
	if len(path) == 0 {
		return nil, nil
	}
	return method, path
}

// maxMethod is the length of the longest method that is counted by name; the
// longest registered one, UPDATEREDIRECTREF, has 17 letters.
const maxMethod = 20

// Warns reports whether a line contains WARN. It looks for the R, which is
// rarer in access logs than the W of Windows and AppleWebKit.
func Warns(line []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(line[at:], 'R')
		if i < 0 {
			return false
		}
		at += i
		if at >= 2 && at+1 < len(line) && string(line[at-2:at+2]) == "WARN" {
			return true
		}
	}
}
