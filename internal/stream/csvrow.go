package stream

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"longshore/internal/jq"
)

// A csvRow is one row being read.
type csvRow struct {
	c        *csvReader
	i        int // in c.buf
	o        int // in c.out
	prefixes [][]byte
	final    bool // nothing comes behind c.buf
	fields   int
	lines    int // ended in it

	quote     int  // where the last field in quotes began, in c.buf
	quoteLine int  // lines ended before it
	open      bool // it has not been closed

	over     bool // it is longer than a record: what is in out is of no use
	replaced int  // fields with bytes that are not UTF-8
}

var otherPrefix = []byte(`","`)

// read reads up to the end of the row and writes `{"name":"field",…}` and a
// newline.
func (w *csvRow) read() error {
	c := w.c
	for {
		prefix := otherPrefix
		if w.fields < len(w.prefixes) {
			prefix = w.prefixes[w.fields]
		} else if w.fields == MaxColumns {
			return errColumns
		}
		if w.o+len(prefix)+slack > len(c.out) {
			w.grow(len(prefix))
		}
		w.o += copy(c.out[w.o:], prefix)
		w.fields++
		var ended bool
		var err error
		if w.i < c.n && c.buf[w.i] == '"' {
			ended, err = w.quoted()
		} else {
			ended, err = w.plain()
		}
		if err != nil {
			return err
		}
		if ended {
			w.o += copy(c.out[w.o:], "\"}\n") // there is room: see slack
			return nil
		}
	}
}

// slack is room that is there whenever something has been written: for the eight
// bytes that are written at once, the longest escape, and the end of the row.
const slack = 16

// grow makes room for n bytes and the slack. Of a row that is longer than a record
// no more is kept: it is read to its end and is an error then.
func (w *csvRow) grow(n int) {
	c := w.c
	if w.o-c.o > MaxRecord {
		w.over, w.o = true, c.o
	}
	if need := w.o + n + 2*slack; need > len(c.out) {
		bigger := make([]byte, max(min(2*len(c.out), c.o+MaxRecord+chunkSize), need))
		copy(bigger, c.out[:w.o])
		c.out = bigger
	}
}

// plain reads a field without quotes and what ends it.
func (w *csvRow) plain() (rowEnded bool, err error) {
	c := w.c
	buf, n := c.buf, c.n
	delimiters := lowBits * uint64(c.delimiter)
	bad := false
	for {
		if w.o+slack > len(c.out) {
			w.grow(0)
		}
		x := binary.LittleEndian.Uint64(buf[w.i:])
		binary.LittleEndian.PutUint64(c.out[w.o:], x)
		d := x ^ delimiters
		m := jq.Special(x) | (d-lowBits)&^d&highBits | x&highBits
		step := 8
		if m != 0 {
			step = bits.TrailingZeros64(m) / 8
		}
		if w.i+step >= n {
			w.o += n - w.i
			w.i = n
			if !w.final {
				return false, errMore
			}
			w.endField(bad)
			w.lines++
			return true, nil
		}
		w.i += step
		w.o += step
		if m == 0 {
			continue
		}
		switch b := buf[w.i]; {
		case b == c.delimiter:
			w.i++
			w.endField(bad)
			return false, nil
		case b == '\n':
			w.i++
			w.lines++
			w.endField(bad)
			return true, nil
		case b == '\r':
			size := lineEnd(buf[:n], w.i, w.final)
			if size == 0 {
				return false, errMore
			}
			w.i += size
			w.lines++
			w.endField(bad)
			return true, nil
		default:
			if err := w.special(&bad); err != nil {
				return false, err
			}
		}
	}
}

func (w *csvRow) endField(bad bool) {
	if bad {
		w.replaced++
	}
}

// special copies a byte that JSON escapes, or a character that is not ASCII.
func (w *csvRow) special(bad *bool) error {
	c := w.c
	b := c.buf[w.i]
	if b < utf8.RuneSelf {
		if b == '\n' || b == '\r' && lineEnd(c.buf[:c.n], w.i, w.final) == 1 {
			w.lines++
		}
		w.o = len(jq.AppendEscaped(c.out[:w.o], b))
		w.i++
		return nil
	}
	rest := c.buf[w.i:c.n]
	if !w.final && !utf8.FullRune(rest) {
		return errMore
	}
	r, n := utf8.DecodeRune(rest)
	if r == utf8.RuneError && n == 1 {
		*bad = true
	}
	w.o = len(utf8.AppendRune(c.out[:w.o], r))
	w.i += n
	return nil
}

// quoted reads a field in quotes and what ends it.
func (w *csvRow) quoted() (rowEnded bool, err error) {
	c := w.c
	buf, n := c.buf, c.n
	bad := false
	w.quote, w.quoteLine, w.open = w.i, w.lines, true
	w.i++
	for {
		if w.o+slack > len(c.out) {
			w.grow(0)
		}
		x := binary.LittleEndian.Uint64(buf[w.i:])
		binary.LittleEndian.PutUint64(c.out[w.o:], x)
		m := jq.Special(x) | x&highBits
		step := 8
		if m != 0 {
			step = bits.TrailingZeros64(m) / 8
		}
		if w.i+step >= n {
			w.i = n
			if w.final {
				return false, &RowError{"the quote that opens a field is not closed"}
			}
			return false, errMore
		}
		w.i += step
		w.o += step
		if m == 0 {
			continue
		}
		if buf[w.i] != '"' {
			if err := w.special(&bad); err != nil {
				return false, err
			}
			continue
		}
		if w.i+1 == n && !w.final {
			return false, errMore
		}
		if w.i+1 < n && buf[w.i+1] == '"' {
			w.i += 2
			w.o += copy(c.out[w.o:], `\"`)
			continue
		}
		w.i++
		w.open = false
		w.endField(bad)
		return w.behindQuote()
	}
}

// behindQuote reads what ends a field in quotes.
func (w *csvRow) behindQuote() (rowEnded bool, err error) {
	c := w.c
	if w.i == c.n { // at the end of all
		w.lines++
		return true, nil
	}
	switch b := c.buf[w.i]; b {
	case c.delimiter:
		w.i++
		return false, nil
	case '\n', '\r':
		n := lineEnd(c.buf[:c.n], w.i, w.final)
		if n == 0 {
			return false, errMore
		}
		w.i += n
		w.lines++
		return true, nil
	}
	if w.lines > w.quoteLine {
		return false, &RowError{
			fmt.Sprintf("the field in quotes has text behind its end, %d lines further down",
				w.lines-w.quoteLine)}
	}
	return false, &RowError{"text behind the quote that closes a field"}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)
