package stream

import (
	"bytes"
	"io"
)

// Lines splits a stream at '\n'. Unlike bufio.Scanner it goes on after a line
// that is too long, and it numbers the lines. It is not safe for concurrent use.
type Lines struct {
	r      io.Reader
	buf    []byte
	pooled *chunk // what buf is made of, or nil
	start  int    // buf[start:end] is read and not yet given out
	end    int
	max    int
	line   int64
	long   bool // in the rest of a line that is too long
	err    error
}

// NewLines reads lines of at most max bytes, their '\n' not counted. Close
// gives the buffer back.
func NewLines(r io.Reader, max int) *Lines {
	l := &Lines{r: r, max: max}
	if 2*max <= chunkSize {
		l.pooled = chunks.Get().(*chunk)
		l.buf = l.pooled[:]
	} else {
		l.buf = make([]byte, 2*max)
	}
	return l
}

// Next returns the next line without its '\n'; it is valid until the next call.
// A last line without '\n' is a line too, an empty one is not. After the end
// the error is io.EOF, or what the source said. A line that is too long is a
// *LimitError with its number; the call after that goes on with the next line.
func (l *Lines) Next() ([]byte, error) {
	if i := bytes.IndexByte(l.buf[l.start:l.end], '\n'); i >= 0 && i <= l.max && !l.long {
		line := l.buf[l.start : l.start+i]
		l.start += i + 1
		l.line++
		return line, nil
	}
	return l.slow()
}

// Line is the number of the line that Next returned last, from 1.
func (l *Lines) Line() int64 { return l.line }

func (l *Lines) slow() ([]byte, error) {
	for {
		window := l.buf[l.start:l.end]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			l.start += i + 1
			if l.long {
				l.long = false
				continue
			}
			l.line++
			if i > l.max {
				return nil, l.tooLong()
			}
			return window[:i], nil
		}
		if l.long {
			l.start, l.end = 0, 0
		} else if len(window) > l.max {
			l.start, l.end = 0, 0
			l.long = true
			l.line++
			return nil, l.tooLong()
		}
		if Ended(l.err) && l.start < l.end {
			l.start = l.end
			l.line++
			return window, nil
		}
		if l.err != nil {
			return nil, l.err
		}
		l.fill()
	}
}

func (l *Lines) tooLong() error {
	return &LimitError{Limit: LimitRecord, Max: int64(l.max), Line: l.line}
}

// fill moves the begun line to the front and reads behind it.
func (l *Lines) fill() {
	l.end = copy(l.buf, l.buf[l.start:l.end])
	l.start = 0
	for range 100 {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

// Close gives the buffer back; a line that Next returned is not to be used any
// more. It leaves the source open.
func (l *Lines) Close() {
	if l.pooled != nil {
		chunks.Put(l.pooled)
	}
	l.pooled, l.buf, l.start, l.end = nil, nil, 0, 0
	l.long, l.err = false, io.ErrClosedPipe
}
