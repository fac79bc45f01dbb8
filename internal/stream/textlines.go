package stream

import (
	"bytes"
	"context"

	"longshore/internal/jq"
)

// toLines is the form of a stage that splits bytes into lines; lines stay as
// they are.
func toLines(in Kind) (Kind, bool) { return KindLines, in != KindRecords }

// SplitLines is the stage lines: bytes become lines. They end with LF, CR LF,
// CR CR LF or CR, and the last one need not; given out, all end with LF. A byte
// order mark at the front is left out.
func SplitLines() Stage {
	return Stage{name: "lines", gives: toLines, text: true, push: func(r *run, in Kind, next flow) (flow,
		error) {
		if in == KindLines {
			return next, nil
		}
		return newSplitter(r, next, nil), nil
	}}
}

// NDJSON is the stage ndjson. It reads bytes or lines as records, one a line,
// and checks that each is a JSON text (RFC 8259, in UTF-8); empty lines are left
// out. Given records it writes them.
func NDJSON() Stage {
	return Stage{name: "ndjson", text: true,
		gives: func(in Kind) (Kind, bool) {
			if in == KindRecords {
				return KindBytes, true
			}
			return KindRecords, true
		},
		push: func(r *run, in Kind, next flow) (flow, error) {
			if in == KindRecords {
				return &toText{next: next}, nil
			}
			count := r.countOf(next)
			return newSplitter(r, next, &checker{r: r, count: count, scan: jq.NewFields()}), nil
		},
		lazy: func(r *run, next flow) flow {
			return newSplitter(r, next, &checker{r: r, count: r.countOf(next)})
		},
	}
}

// countOf is the count of the stage that gives to next.
func (r *run) countOf(next flow) *StageCount { return next.(*link).count }

// toText passes records on as bytes.
type toText struct {
	next flow
	b    batch
}

func (t *toText) take(b *batch) error {
	return eachRun(b, func(p []byte) error {
		t.b.data, t.b.texts = p, nil
		return t.next.take(&t.b)
	})
}

func (t *toText) finish() error { return t.next.finish() }

// A checker looks at each line that is to be a record.
type checker struct {
	r     *run
	count *StageCount
	scan  *jq.Fields // nil: the next stage checks
}

// A splitter cuts bytes into lines.
type splitter struct {
	r      *run
	next   flow
	count  *StageCount
	check  *checker // nil for lines
	buf    []byte   // room for a record, a chunk and jq.Pad
	n      int      // bytes of a begun line in buf
	seen   int      // of them, without what may be a part of its end
	long   bool     // that line is too long: the rest of it is dropped
	begun  bool     // the first line has been looked at
	at     Position // of that line
	b      batch
	pooled *chunk
}

func newSplitter(r *run, next flow, check *checker) *splitter {
	s := &splitter{r: r, next: next, count: r.countOf(next), check: check, at: Position{Line: 1}}
	s.pooled = chunks.Get().(*chunk)
	s.buf = s.pooled[:]
	r.atEnd(func() { chunks.Put(s.pooled) })
	return s
}

func (s *splitter) take(b *batch) error { return eachRun(b, s.bytes) }

// bytes takes any piece of the stream. Where it has no CR, as nearly always, its
// lines are cut where they are: only what began in an earlier piece, and what
// goes on in a later one, is copied to buf.
func (s *splitter) bytes(p []byte) error {
	if cap(p)-len(p) < jq.Pad || bytes.IndexByte(p, '\r') >= 0 {
		return s.copied(p)
	}
	if s.n > 0 || s.long {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return s.copied(p)
		}
		if err := s.copied(p[:i+1]); err != nil {
			return err
		}
		p = p[i+1:]
	}
	s.b.data, s.b.texts = p, s.b.texts[:0]
	start, err := s.plain(p, 0, 0)
	if err != nil {
		return err
	}
	if start > 0 {
		if err := s.give(); err != nil {
			return err
		}
	}
	return s.copied(p[start:])
}

// copied takes any piece by way of buf.
func (s *splitter) copied(p []byte) error {
	for len(p) > 0 {
		free := len(s.buf) - jq.Pad - 1 - s.n
		if free < len(p) && len(s.buf) < MaxRecord+chunkSize {
			if s.n > len(s.buf)/2 {
				s.buf = append(make([]byte, 0, min(2*len(s.buf), MaxRecord+chunkSize)), s.buf[:s.n]...)
				s.buf = s.buf[:cap(s.buf)]
				continue
			}
		}
		m := copy(s.buf[s.n:s.n+min(free, len(p))], p)
		p = p[m:]
		if err := s.split(s.n+m, false); err != nil {
			return err
		}
	}
	return nil
}

// split hands on the whole lines in buf[:n]; the search for the end of the
// first one starts where the last search ended.
func (s *splitter) split(n int, final bool) error {
	s.b.data, s.b.texts = s.buf[:n], s.b.texts[:0]
	start, end, err := s.whole(n, final)
	if err != nil {
		return err
	}
	if len(s.b.texts) > 0 || start > 0 {
		if err := s.give(); err != nil {
			return err
		}
	}
	at := s.at
	tooLong := !s.long && end-start > MaxRecord
	if s.long = s.long || tooLong; s.long {
		s.at.Offset += int64(end - start)
		start = end
	}
	s.n = copy(s.buf, s.buf[start:n])
	s.seen = end - start
	if tooLong {
		return s.tooLong(at)
	}
	return nil
}

// whole takes the whole lines in buf[:n]. It returns where the line after them
// begins and how far that one has been searched.
func (s *splitter) whole(n int, final bool) (start, end int, err error) {
	buf, from := s.buf[:n], s.seen
	if bytes.IndexByte(buf[from:], '\r') < 0 {
		start, err = s.plain(buf, 0, from)
		return start, n, err
	}
	find := lineFinder{-1, -1}
	for {
		end, next := find.next(buf, from, final)
		if next == 0 {
			return start, end, nil
		}
		buf[end] = '\n'
		if err := s.line(buf, start, end, next); err != nil {
			return start, end, err
		}
		start, from = next, next
	}
}

// plain takes the whole lines in buf[start:], which has no CR from from on; the
// line at start has no LF before that. It returns where the next one begins.
func (s *splitter) plain(buf []byte, start, from int) (int, error) {
	for {
		i := bytes.IndexByte(buf[from:], '\n')
		if i < 0 {
			return start, nil
		}
		end := from + i
		if err := s.line(buf, start, end, end+1); err != nil {
			return start, err
		}
		start, from = end+1, end+1
	}
}

func (s *splitter) tooLong(at Position) error {
	return s.r.fail(s.count, at, &LimitError{Limit: LimitRecord, Max: MaxRecord, Line: at.Line})
}

// line takes the line buf[start:end]; the one after it begins at next.
func (s *splitter) line(buf []byte, start, end, next int) error {
	at := s.at
	s.at.Line++
	s.at.Offset += int64(next - start)
	if s.long {
		s.long = false
		return nil
	}
	if !s.begun {
		s.begun = true
		if bytes.HasPrefix(buf[start:end], byteOrderMark) {
			start += len(byteOrderMark)
		}
	}
	if end-start > MaxRecord {
		return s.tooLong(at)
	}
	if s.check != nil {
		keep, err := s.check.line(buf, start, end, at)
		if err != nil || !keep {
			return err
		}
	}
	s.b.texts = append(s.b.texts, text{start, end, at})
	return nil
}

// line reports whether a line is a record.
func (c *checker) line(b []byte, start, end int, at Position) (keep bool, err error) {
	if end-start < 2 && len(bytes.TrimSpace(b[start:end])) == 0 || b[start] <= ' ' &&
		len(bytes.TrimSpace(b[start:end])) == 0 {
		return false, nil
	}
	if c.scan != nil {
		if err := c.scan.Find(b, start, end); err != nil {
			return false, c.r.fail(c.count, at, err)
		}
	}
	return true, nil
}

// give passes the batch on, unless the run has been told to end.
func (s *splitter) give() error {
	if s.r.ctx.Err() != nil {
		return context.Cause(s.r.ctx)
	}
	return s.next.take(&s.b)
}

func (s *splitter) finish() error {
	if err := s.split(s.n, true); err != nil {
		return err
	}
	if end := s.n; end > 0 && !s.long && (s.begun || !bytes.Equal(s.buf[:end], byteOrderMark)) {
		s.buf[end] = '\n'
		s.b.data, s.b.texts = s.buf[:end+1], s.b.texts[:0]
		if err := s.line(s.buf, 0, end, end); err != nil {
			return err
		}
		if err := s.give(); err != nil {
			return err
		}
	}
	return s.next.finish()
}
