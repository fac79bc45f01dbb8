package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"
)

const maxDepth = 64

// CheckJSON accepts one JSON value (RFC 8259) and is stricter than
// encoding/json where parsers are known to disagree: invalid UTF-8, duplicate
// keys, nesting deeper than 64, and trailing data are errors.
//
// It is written by hand because each line of a batch passes it: reading the
// tokens one by one with encoding/json costs fifteen times as much.
func CheckJSON(text []byte) error {
	_, err := check(text, nil)
	return err
}

// Fields checks a text as CheckJSON does and calls f for each member of the
// object that it must be, in their order, with what its name says and the text
// of its value. The slices are mostly parts of text. It returns ErrJSON, ErrNoObject, or what f returns.
func Fields(text []byte, f func(name, value []byte) error) error {
	object, err := check(text, f)
	if err == nil && !object {
		return ErrNoObject
	}
	return err
}

// ErrNoObject says that a text is JSON but no object.
var ErrNoObject = errors.New("expected object")

func check(text []byte, f func(name, value []byte) error) (object bool, err error) {
	if !utf8.Valid(text) {
		return false, fmt.Errorf("%w: invalid UTF-8", ErrJSON)
	}
	s := scanners.Get().(*scanner)
	defer s.free()
	s.text, s.at = text, 0
	s.space()
	object = s.at < len(text) && text[s.at] == '{'
	if object {
		err = s.object(1, f)
	} else {
		err = s.value(0)
	}
	if err != nil {
		return object, err
	}
	s.space()
	if s.at != len(text) {
		return object, fmt.Errorf("%w: data after the value, at offset %d", ErrJSON, s.at)
	}
	return object, nil
}

// A scanner walks over valid UTF-8.
type scanner struct {
	text []byte
	at   int
	// names are those of the objects that are open, each behind its parent's.
	names [][]byte
}

// scanners are those that nobody uses: each line of a batch and each request
// takes two.
var scanners = sync.Pool{New: func() any { return &scanner{names: make([][]byte, 0, few)} }}

// free gives a scanner back, unless one object had very many names.
func (s *scanner) free() {
	if cap(s.names) > 16*few {
		return
	}
	clear(s.names[:cap(s.names)]) // they are parts of texts
	s.text, s.names = nil, s.names[:0]
	scanners.Put(s)
}

func (s *scanner) bad() error { return fmt.Errorf("%w: at offset %d", ErrJSON, s.at) }

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next returns the byte that comes after white space; 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// value walks over one value; depth is how many values it lies in.
func (s *scanner) value(depth int) error {
	switch c := s.next(); {
	case c == '{':
		return s.object(depth+1, nil)
	case c == '[':
		return s.array(depth + 1)
	case c == '"':
		_, _, err := s.quoted()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.bad()
	}
}

func (s *scanner) word(word string) error {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return s.bad()
	}
	s.at += len(word)
	return nil
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrJSON, maxDepth)
	}
	s.at++ // [
	if s.next() == ']' {
		s.at++
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.bad()
		}
	}
}

// object walks over an object and tells f, unless it is nil, of each member.
func (s *scanner) object(depth int, f func(name, value []byte) error) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrJSON, maxDepth)
	}
	s.at++ // {
	if s.next() == '}' {
		s.at++
		return nil
	}
	members := members{scanner: s, first: len(s.names)}
	defer members.close()
	for {
		if s.next() != '"' {
			return s.bad()
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if !members.add(name) {
			return fmt.Errorf("%w: duplicate key before offset %d", ErrJSON, s.at)
		}
		if s.next() != ':' {
			return s.bad()
		}
		s.at++
		s.space()
		begin := s.at
		if err := s.value(depth); err != nil {
			return err
		}
		if f != nil {
			if err := f(name, s.text[begin:s.at]); err != nil {
				return err
			}
		}
		switch s.next() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.bad()
		}
	}
}

// members finds a name that an object has twice.
type members struct {
	*scanner
	first int             // of its names
	many  map[string]bool // in place of names, once they are many
}

// few is up to how many names looking at each costs less than a map.
const few = 16

func (m *members) add(name []byte) bool {
	if m.many != nil {
		if m.many[string(name)] {
			return false
		}
		m.many[string(name)] = true
		return true
	}
	for _, other := range m.names[m.first:] {
		if string(other) == string(name) {
			return false
		}
	}
	m.names = append(m.names, name)
	if len(m.names)-m.first > few {
		m.many = map[string]bool{}
		for _, other := range m.names[m.first:] {
			m.many[string(other)] = true
		}
	}
	return true
}

func (m *members) close() { m.names = m.names[:m.first] }

// name walks over a member's name and returns what it says.
func (s *scanner) name() ([]byte, error) {
	text, escaped, err := s.quoted()
	if err != nil || !escaped {
		return text, err
	}
	var plain string
	if err := json.Unmarshal(s.text[s.at-len(text)-2:s.at], &plain); err != nil {
		return nil, s.bad()
	}
	return []byte(plain), nil
}

// quoted walks over a string and returns what stands between its quotes.
func (s *scanner) quoted() (text []byte, escaped bool, err error) {
	s.at++ // "
	begin := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[begin : s.at-1], escaped, nil
		case c == '\\':
			escaped = true
			if !s.escape() {
				return nil, false, s.bad()
			}
		case c < ' ':
			return nil, false, s.bad()
		default:
			s.at++
		}
	}
	return nil, false, s.bad()
}

func (s *scanner) escape() bool {
	s.at++ // \
	if s.at == len(s.text) {
		return false
	}
	c := s.text[s.at]
	s.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.at == len(s.text) || !hexDigit(s.text[s.at]) {
				return false
			}
			s.at++
		}
		return true
	}
	return false
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// number walks over a number (RFC 8259, section 6).
func (s *scanner) number() error {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return s.bad()
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if !s.digits() {
			return s.bad()
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return s.bad()
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	begin := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > begin
}
