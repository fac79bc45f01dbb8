package jq

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested in a record.
const MaxDepth = 512

// Pad is how many bytes must be readable behind a text that is scanned: the
// scanner looks at eight bytes at once. What they hold doesn't matter.
const Pad = 8

// A SyntaxError says that a record is not a JSON text.
type SyntaxError struct {
	Offset int // in the record
	What   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d of the record", e.What, e.Offset)
}

// Padded returns text as a slice that may be scanned: followed by a newline,
// which ends every scan, and room for Pad bytes. It copies the text.
func Padded(text []byte) []byte {
	b := make([]byte, len(text)+1, len(text)+1+Pad)
	copy(b, text)
	b[len(text)] = '\n'
	return b[:len(text)]
}

// A node is one step on the paths that a scanner looks for.
type node struct {
	key      string
	quoted   string // key as it usually stands in a text, between its quotes
	leaf     int    // index into found; -1 = only a step on the way
	children []*node
	index    map[string]*node // of the children by quoted, once there are many
	seen     uint64           // the scan in which it was met last; only of a step on the way
}

// A span is where a value stands: b[start:end]. An empty one was not found.
type span struct{ start, end int }

// A scanner checks JSON texts and finds the values at some paths in them. It is
// not safe for concurrent use.
type scanner struct {
	root  *node // nil: only check
	found []span

	// odd says that a path leads through something that is neither object nor
	// null, or through a member that is there twice. Fields found are then not
	// to be used.
	odd bool

	unknown span // key of a top-level member that is not looked for

	run   uint64
	depth int
	high  uint64 // bits of all bytes in strings, and of some more
	at    int    // where an error was noticed
}

func newScanner(paths [][]string) *scanner {
	s := &scanner{found: make([]span, len(paths))}
	if len(paths) == 0 {
		return s
	}
	s.root = &node{leaf: -1}
	for i, path := range paths {
		n := s.root
		for _, key := range path {
			n = n.child(key)
		}
		n.leaf = i
	}
	return s
}

// child returns the child of that name and makes it if need be.
func (n *node) child(key string) *node {
	if c := n.named(key); c != nil {
		return c
	}
	quoted, _ := AppendQuoted(nil, []byte(key))
	c := &node{key: key, quoted: string(quoted), leaf: -1}
	n.children = append(n.children, c)
	switch {
	case n.index != nil:
		n.index[string(quoted)] = c
	case len(n.children) > fewChildren:
		n.index = map[string]*node{}
		for _, c := range n.children {
			n.index[c.quoted] = c
		}
	}
	return c
}

// fewChildren are looked through faster than a map finds one of them.
const fewChildren = 16

func (n *node) named(key string) *node {
	if n.index != nil {
		quoted, _ := AppendQuoted(nil, []byte(key))
		return n.index[string(quoted)]
	}
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

// scan checks the record b[start:end], which b[end] == '\n' must follow, and
// fills found. Pad bytes behind b must be readable.
func (s *scanner) scan(b []byte, start, end int) error {
	b = b[:end+1+Pad]
	s.run++
	s.odd, s.depth, s.high, s.unknown = false, 0, 0, span{}
	clear(s.found)
	first := skip(b, start)
	i := s.value(b, first, s.root)
	if i >= 0 {
		if s.root != nil && s.root.leaf >= 0 {
			s.found[s.root.leaf] = span{first, i}
		}
		s.at = skip(b, i)
		i = s.at
	}
	if i != end {
		return &SyntaxError{min(s.at, end) - start, s.what(b, end)}
	}
	if s.high&highBits != 0 && !utf8.Valid(b[start:end]) {
		return &SyntaxError{invalidUTF8(b[start:end]), "invalid UTF-8"}
	}
	return nil
}

func (s *scanner) what(b []byte, end int) string {
	switch {
	case s.depth > MaxDepth:
		return "nesting too deep"
	case s.at >= end:
		return "JSON ends too early"
	}
	return "malformed JSON"
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// skip skips blanks. The newline is none of them: it is the end of a record.
func skip(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' {
		i++
	}
	return i
}

// value reads one value and returns the index behind it, or -1.
func (s *scanner) value(b []byte, i int, n *node) int {
	c := b[i]
	if c == '{' {
		return s.object(b, i+1, n)
	}
	if n != nil && len(n.children) > 0 && c != 'n' {
		s.odd = true
	}
	switch {
	case c == '"':
		return s.str(b, i+1)
	case c == '-' || c-'0' <= 9:
		return s.number(b, i)
	case c == '[':
		return s.array(b, i+1)
	case c == 't' && string(b[i:i+4]) == "true", c == 'n' && string(b[i:i+4]) == "null":
		return i + 4
	case c == 'f' && string(b[i:i+5]) == "false":
		return i + 5
	}
	return s.bad(i)
}

func (s *scanner) bad(i int) int {
	s.at = i
	return -1
}

func (s *scanner) object(b []byte, i int, n *node) int {
	if s.depth++; s.depth > MaxDepth {
		return s.bad(i)
	}
	if i = skip(b, i); b[i] == '}' {
		s.depth--
		return i + 1
	}
	for {
		if b[i] != '"' {
			return s.bad(i)
		}
		key := i + 1
		if i = s.str(b, key); i < 0 {
			return -1
		}
		var child *node
		if n != nil {
			if child = n.match(b[key : i-1]); child == nil && n == s.root {
				s.unknown = span{key, i - 1}
			}
		}
		if b[i] != ':' {
			if i = skip(b, i); b[i] != ':' {
				return s.bad(i)
			}
		}
		if i++; b[i] <= ' ' {
			i = skip(b, i)
		}
		start := i
		if b[i] == '"' && child == nil {
			i = s.str(b, i+1)
		} else {
			i = s.value(b, i, child)
		}
		if i < 0 {
			return -1
		}
		if child != nil {
			s.take(child, span{start, i})
		}
		if b[i] <= ' ' {
			i = skip(b, i)
		}
		switch b[i] {
		case ',':
			if i++; b[i] <= ' ' {
				i = skip(b, i)
			}
		case '}':
			s.depth--
			return i + 1
		default:
			return s.bad(i)
		}
	}
}

// take notes a value that was looked for; of several with one name the last
// one counts.
func (s *scanner) take(n *node, at span) {
	if n.leaf >= 0 {
		s.found[n.leaf] = at
	}
	if len(n.children) > 0 {
		s.odd = s.odd || n.seen == s.run
		n.seen = s.run
	}
}

// match returns the child that a key, as it stands in the text, belongs to.
func (n *node) match(raw []byte) *node {
	if n.index != nil {
		if c := n.index[string(raw)]; c != nil {
			return c
		}
	} else {
		for _, c := range n.children {
			if string(raw) == c.quoted {
				return c
			}
		}
	}
	for _, x := range raw {
		if x == '\\' {
			return n.matchEscaped(raw)
		}
	}
	return nil
}

func (n *node) matchEscaped(raw []byte) *node {
	return n.named(unquote(raw))
}

func (s *scanner) array(b []byte, i int) int {
	if s.depth++; s.depth > MaxDepth {
		return s.bad(i)
	}
	if i = skip(b, i); b[i] == ']' {
		s.depth--
		return i + 1
	}
	for {
		if i = s.value(b, i, nil); i < 0 {
			return -1
		}
		i = skip(b, i)
		switch b[i] {
		case ',':
			i = skip(b, i+1)
		case ']':
			s.depth--
			return i + 1
		default:
			return s.bad(i)
		}
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// Special marks, by its highest bit, the first byte of x that is a quote, a
// backslash or a control character; bytes behind that one may be marked wrongly.
func Special(x uint64) uint64 {
	quote := x ^ lowBits*'"'
	slash := x ^ lowBits*'\\'
	return ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (x-lowBits*' ')&^x) & highBits
}

// str reads a string, its quote having been read, and returns the index behind
// its closing quote, or -1.
func (s *scanner) str(b []byte, i int) int {
	high := s.high
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		high |= x
		m := Special(x)
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) / 8
		switch b[i] {
		case '"':
			s.high = high
			return i + 1
		case '\\':
			n := escapeLen(b[i+1:])
			if n == 0 {
				return s.bad(i)
			}
			i += 1 + n
		default:
			return s.bad(i)
		}
	}
	return s.bad(i)
}

// escapeLen returns the length of what follows a backslash; 0 = no escape.
func escapeLen(b []byte) int {
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		for i := 1; i <= 4; i++ {
			if i >= len(b) || hexValue(b[i]) > 15 {
				return 0
			}
		}
		return 5
	}
	return 0
}

func hexValue(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// number reads a number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?
func (s *scanner) number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	switch {
	case b[i] == '0':
		i++
	case b[i]-'1' <= 8:
		i = digits(b, i)
	default:
		return s.bad(i)
	}
	if b[i] == '.' {
		if i++; b[i]-'0' > 9 {
			return s.bad(i)
		}
		i = digits(b, i)
	}
	if b[i] == 'e' || b[i] == 'E' {
		if i++; b[i] == '-' || b[i] == '+' {
			i++
		}
		if b[i]-'0' > 9 {
			return s.bad(i)
		}
		i = digits(b, i)
	}
	return i
}

func digits(b []byte, i int) int {
	for b[i]-'0' <= 9 {
		i++
	}
	return i
}
