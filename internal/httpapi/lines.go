package httpapi

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// How much is asked for at once, in bytes: as much as comes, so that who sends a
// line now and then costs little.
const minRead, maxRead = 4 << 10, 32 << 10

// A Line is one line of a batch.
type Line struct {
	Number  int64  // from 1; empty lines count, and are not returned
	Text    []byte // without its end; nil if it is too long
	TooLong bool
}

// Lines cuts a stream into lines of JSON, as they come: it never waits for more
// while it has a whole one. Its memory is bounded by the longest line, and a
// longer one is skipped.
type Lines struct {
	in     io.Reader
	max    int
	number int64
	rest   []byte // read and not returned: of Next at most one partial line
	read   int    // asked for next
	skip   bool   // the line whose end is awaited is too long
	err    error  // of in
}

// NewLines returns a reader of lines of at most max bytes each.
func NewLines(in io.Reader, max int) *Lines { return &Lines{in: in, max: max, read: minRead} }

// Next returns the lines that have come, at least one; they stay valid. A last
// line needs no end. After the last one the error is io.EOF, or what reading
// failed with: then a partial line was dropped.
func (l *Lines) Next() ([]Line, error) { return l.NextFew(math.MaxInt) }

// NextFew is Next for at most some lines: the others that have come are kept for
// the next call.
func (l *Lines) NextFew(most int) ([]Line, error) {
	for {
		if lines := l.cut(most); len(lines) > 0 {
			return lines, nil
		}
		if l.err != nil {
			if lines := l.last(); len(lines) > 0 {
				return lines, nil
			}
			return nil, l.err
		}
		buf := make([]byte, len(l.rest)+l.read)
		n := copy(buf, l.rest)
		m, err := l.in.Read(buf[n:])
		l.err = err
		if m == l.read {
			l.read = min(2*l.read, maxRead)
		} else if m < l.read/4 {
			l.read = max(l.read/2, minRead)
		}
		l.rest = buf[:n+m]
	}
}

// cut takes whole lines out of what was read, at most some.
func (l *Lines) cut(most int) []Line {
	var lines []Line
	for len(lines) < most {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			if l.skip || len(l.rest) > l.max+1 { // a CR may follow
				l.skip, l.rest = true, nil
			}
			break
		}
		text := l.rest[:end]
		l.rest = l.rest[end+1:]
		lines = l.add(lines, text)
		l.skip = false
	}
	return lines
}

func (l *Lines) add(lines []Line, text []byte) []Line {
	l.number++
	text = bytes.TrimSuffix(text, []byte("\r"))
	switch {
	case l.skip || len(text) > l.max:
		return append(lines, Line{Number: l.number, TooLong: true})
	case len(bytes.TrimLeft(text, " \t\r")) == 0:
		return lines
	default:
		return append(lines, Line{Number: l.number, Text: text})
	}
}

// last returns the line that the end of the stream has ended, if there is one.
func (l *Lines) last() (lines []Line) {
	if !errors.Is(l.err, io.EOF) || !l.skip && len(l.rest) == 0 {
		return nil
	}
	lines = l.add(nil, l.rest)
	l.rest, l.skip = nil, false
	return lines
}
