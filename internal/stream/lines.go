package stream

import (
	"bytes"
	"io"
)

// Lines splits a stream at its line ends: LF, CR LF, CR CR LF or CR. Unlike
// bufio.Scanner it goes on after a line that is too long, and it numbers the
// lines. NULs and byte order marks before a line are left out: a log that was
// emptied while its server went on writing begins with as many NULs as it had
// bytes. It is not safe for concurrent use.
type Lines struct {
	r      io.Reader
	buf    []byte
	pooled *chunk // what buf is made of, or nil
	start  int    // buf[start:end] is read and not yet given out
	end    int
	clear  int        // there is no CR in buf[start:clear]
	crs    bool       // one was met in buf
	find   lineFinder // in buf[:end]
	max    int
	line   int64
	long   bool // in the rest of a line that is too long
	err    error
}

// NewLines reads lines of at most max bytes, their ends not counted. Close
// gives the buffer back.
func NewLines(r io.Reader, max int) *Lines {
	l := &Lines{r: r, max: max}
	l.find.reset()
	if 2*max <= chunkSize {
		l.pooled = chunks.Get().(*chunk)
		l.buf = l.pooled[:]
	} else {
		l.buf = make([]byte, 2*max)
	}
	return l
}

// Next returns the next line without its end; it is valid until the next call.
// A last line without an end is a line too, an empty one is not. After the end
// the error is io.EOF, or what the source said. A line that is too long is a
// *LimitError with its number; the call after that goes on with the next line.
func (l *Lines) Next() ([]byte, error) {
	if line := l.quick(); line != nil {
		return line, nil
	}
	return l.slow()
}

// clearStep is how much is searched for a CR at once: little enough to be still
// in the first-level cache when its lines are read.
const clearStep = 16 << 10

// quick returns a line that is like most: it ends with LF, nothing is to be left
// out before it, and no CR has been met. nil = it may be another one.
func (l *Lines) quick() []byte {
	if l.crs || l.long {
		return nil
	}
	i := bytes.IndexByte(l.buf[l.start:l.end], '\n')
	if i < 0 || i > l.max {
		return nil
	}
	end := l.start + i
	if end >= l.clear {
		from := max(l.start, l.clear)
		to := min(max(end+1, from+clearStep), l.end)
		l.clear = indexFrom(l.buf[:to], from, '\r')
		l.crs = l.clear < to
		if end >= l.clear {
			return nil
		}
	}
	line := l.buf[l.start:end]
	if i > 0 && (line[0] == 0 || line[0] == byteOrderMark[0]) {
		return nil
	}
	l.start = end + 1
	l.line++
	return line
}

// Line is the number of the line that Next returned last, from 1.
func (l *Lines) Line() int64 { return l.line }

func (l *Lines) slow() ([]byte, error) {
	for {
		end, next := l.find.next(l.buf[:l.end], l.start, Ended(l.err))
		switch line := bare(l.buf[l.start:end]); {
		case l.long && next > 0:
			l.start, l.long = next, false
			continue
		case l.long:
			l.start = end
		case next > 0:
			l.start = next
			l.line++
			if len(line) > l.max {
				return nil, l.tooLong()
			}
			return line, nil
		// not a mark that is cut
		case len(line) > l.max && (l.err != nil || !bytes.HasPrefix(byteOrderMark, line)):
			l.start, l.long = end, true
			l.line++
			return nil, l.tooLong()
		case Ended(l.err) && len(line) > 0:
			l.start = end
			l.line++
			return line, nil
		default:
			l.start = end - len(line)
		}
		if l.err != nil {
			return nil, l.err
		}
		l.fill()
		if line := l.quick(); line != nil {
			return line, nil
		}
	}
}

// bare is a line without what may stand before it.
func bare(line []byte) []byte {
	for len(line) > 0 {
		switch {
		case line[0] == 0:
			line = bytes.TrimLeft(line, "\x00")
		case bytes.HasPrefix(line, byteOrderMark):
			line = line[len(byteOrderMark):]
		default:
			return line
		}
	}
	return line
}

func (l *Lines) tooLong() error {
	return &LimitError{Limit: LimitRecord, Max: int64(l.max), Line: l.line}
}

// fill moves the begun line to the front and reads behind it.
func (l *Lines) fill() {
	l.end = copy(l.buf, l.buf[l.start:l.end])
	l.start, l.clear, l.crs = 0, 0, false
	l.find.reset()
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
	l.pooled, l.buf, l.start, l.end, l.clear = nil, nil, 0, 0, 0
	l.long, l.err = false, io.ErrClosedPipe
	l.find.reset()
}
