package submit

import (
	"bytes"
	"errors"
	"io"
)

// How much is asked for at once, in bytes: as much as comes, so that who sends a
// line now and then costs little.
const minRead, maxRead = 4 << 10, 128 << 10

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
	rest   []byte // read and not returned: at most one partial line
	read   int    // asked for next
	skip   bool   // the line whose end is awaited is too long
	err    error  // of in
}

// NewLines returns a reader of lines of at most max bytes each.
func NewLines(in io.Reader, max int) *Lines { return &Lines{in: in, max: max, read: minRead} }

// Next returns the lines that have come, at least one; they stay valid. A last
// line needs no end. After the last one the error is io.EOF, or what reading
// failed with: then a partial line was dropped.
func (l *Lines) Next() ([]Line, error) {
	for {
		if l.err != nil {
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
		lines := l.cut(buf[:n+m])
		if errors.Is(err, io.EOF) {
			lines = l.last(lines)
		}
		if len(lines) > 0 {
			return lines, nil
		}
	}
}

// cut takes the whole lines out of a text and keeps the rest.
func (l *Lines) cut(text []byte) []Line {
	var lines []Line
	for {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			break
		}
		lines = l.add(lines, text[:end])
		text = text[end+1:]
		l.skip = false
	}
	l.rest = text
	if l.skip || len(text) > l.max+1 { // a CR may follow
		l.skip, l.rest = true, nil
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

// last adds a line that the end of the stream has ended.
func (l *Lines) last(lines []Line) []Line {
	if !l.skip && len(l.rest) == 0 {
		return lines
	}
	lines = l.add(lines, l.rest)
	l.rest, l.skip = nil, false
	return lines
}
