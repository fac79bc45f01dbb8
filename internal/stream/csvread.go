package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"longshore/internal/jq"
)

// CSVOptions say how CSV is written.
type CSVOptions struct {
	Delimiter byte // 0 = a comma
	NoHeader  bool // the first row holds data, not names
	// reading: names, in place of the header's; writing: the columns to write. nil = see ReadCSV, WriteCSV
	Columns []string
}

// NewCSVOptions reads options as a client writes them: a delimiter of one character or
// none, no word of the header for one that is there.
func NewCSVOptions(delimiter string, header *bool, columns []string) (CSVOptions, error) {
	if len(columns) == 0 {
		columns = nil // no column at all would lose every member
	}
	o := CSVOptions{NoHeader: header != nil && !*header, Columns: columns}
	if delimiter != "" {
		if o.Delimiter = delimiter[0]; len(delimiter) > 1 || !ValidDelimiter(o.Delimiter) {
			return o, errors.New("expected one ASCII character, no quote and no newline")
		}
	}
	return o, nil
}

// ValidDelimiter reports whether a byte can stand between fields.
func ValidDelimiter(c byte) bool {
	return c < utf8.RuneSelf && c != '"' && c != '\n' && c != '\r' && c != 0
}

func (o CSVOptions) delimiter() byte {
	if o.Delimiter == 0 {
		return ','
	}
	return o.Delimiter
}

// CSV is the stage csv: it reads bytes or lines as rows (ReadCSV) and writes
// records as rows (WriteCSV).
func CSV(o CSVOptions) Stage {
	read, write := ReadCSV(o), WriteCSV(o)
	return Stage{name: "csv", check: true, text: true,
		gives: func(in Kind) (Kind, bool) {
			if in == KindRecords {
				return KindBytes, true
			}
			return KindRecords, true
		},
		push: func(r *run, in Kind, next flow) (flow, error) {
			if in == KindRecords {
				return write.push(r, in, next)
			}
			return read.push(r, in, next)
		}}
}

// ReadCSV is the stage csv on bytes or lines. Rows (RFC 4180) become objects of
// strings. Lines end with LF, CR LF, CR CR LF or CR, fields in quotes may hold
// any; a byte order mark is ignored, and so are empty lines. The names come from
// the first row, or from Columns; without both they are "1", "2", …. A name that
// is there before gets "_2", "_3", … added. Names that can't be read end the run,
// for no row after them would be right. A row with more or fewer fields than
// names is an error of its record, and so is text behind the quote that closes a
// field; a quote within a field that has none around it stands for itself. Bytes
// that are not UTF-8 become U+FFFD.
//
// A quote that is not closed makes a field of all that follows, up to the next
// quote, the end, or MaxRecord. Its error is that of the line in which the field
// begins, and the next line is read as a row of its own.
func ReadCSV(o CSVOptions) Stage {
	return Stage{name: "csv", text: true, gives: func(in Kind) (Kind, bool) {
		return KindRecords, in != KindRecords
	},
		push: func(r *run, _ Kind, next flow) (flow, error) {
			c := &csvReader{r: r, next: next, count: r.countOf(next), delimiter: o.delimiter(),
				at: Position{Line: 1}, header: !o.NoHeader, pace: pacer{ctx: r.ctx}}
			if o.Columns != nil {
				if err := c.name(o.Columns); err != nil {
					return nil, err
				}
			}
			in, out := chunks.Get().(*chunk), chunks.Get().(*chunk)
			c.buf, c.out = in[:], out[:]
			r.atEnd(func() { chunks.Put(in); chunks.Put(out) })
			return c, nil
		}}
}

// A csvReader turns CSV into NDJSON. It reads a row byte by byte from buf and
// writes its JSON into out as it goes; a row whose end isn't there yet is read
// again when more has come.
type csvReader struct {
	r         *run
	next      flow
	count     *StageCount
	delimiter byte
	header    bool // the next row has the names

	// prefixes[i] is what JSON has between field i-1 and field i, quotes
	// included. nil: the names are not known yet.
	prefixes [][]byte

	buf    []byte
	n      int      // bytes in buf
	at     Position // of buf[0]
	begun  bool     // the first bytes have been looked at
	resync bool     // the rest of the line belongs to a broken row
	open   Position // of the quote that a row which goes on has left open, within the row; Line 0 = none

	out []byte
	o   int // end of what is written
	b   batch

	wrote int // bytes of the last row, kept or not

	growth growth
	pace   pacer
}

// name sets the names of the columns. Together they must fit into a record.
func (c *csvReader) name(columns []string) error {
	used := map[string]int{} // and the number to try next behind the name
	c.prefixes = nil
	size := len(columns)
	for i, column := range columns {
		name, n := column, used[column]
		for ; used[name] > 0; n++ {
			name = column + "_" + strconv.Itoa(n)
		}
		used[column] = max(n, 2)
		used[name] = max(used[name], 2)
		prefix := []byte(`","`)
		if i == 0 {
			prefix = []byte(`{"`)
		}
		prefix, _ = jq.AppendQuoted(prefix, []byte(name))
		c.prefixes = append(c.prefixes, append(prefix, `":"`...))
		if size += len(prefix); size > MaxRecord {
			at := Position{Line: 1}
			return &RecordError{c.count.Stage, at, &LimitError{Limit: LimitRecord, Max: MaxRecord,
				Line: at.Line}}
		}
	}
	return nil
}

// take reads the rows once for a batch: one that goes on is read from its start
// again, which for each line that comes by itself would take for ever.
func (c *csvReader) take(b *batch) error {
	if err := eachRun(b, c.bytes); err != nil {
		return err
	}
	return c.rows(false)
}

// bytes takes a piece, and reads the rows only where there is no room for it.
func (c *csvReader) bytes(p []byte) error {
	c.growth.in += int64(len(p))
	for len(p) > 0 {
		free := len(c.buf) - jq.Pad - c.n
		if free < len(p) && c.n > len(c.buf)/2 && len(c.buf) < MaxRecord+chunkSize {
			c.buf = append(make([]byte, 0, min(2*len(c.buf), MaxRecord+chunkSize)), c.buf[:c.n]...)
			c.buf = c.buf[:cap(c.buf)]
			continue
		}
		m := copy(c.buf[c.n:c.n+min(free, len(p))], p)
		c.n += m
		if p = p[m:]; len(p) == 0 {
			break
		}
		if err := c.rows(false); err != nil {
			return err
		}
	}
	return nil
}

// errMore says that a row goes on behind what is there.
var errMore = fmt.Errorf("row goes on")

// rows reads all whole rows in buf.
func (c *csvReader) rows(final bool) error {
	i := 0
	if !c.begun {
		if c.n < len(byteOrderMark) && !final {
			return nil
		}
		c.begun = true
		if bytes.HasPrefix(c.buf[:c.n], byteOrderMark) {
			i = len(byteOrderMark)
			c.at.Offset += int64(i)
		}
	}
	for i < c.n {
		if c.resync {
			next, ok := nextLine(c.buf[:c.n], i, final)
			c.at.Offset += int64(next - i)
			if i = next; !ok {
				break
			}
			c.at.Line++
			c.resync = false
			continue
		}
		next, err := c.row(i, final)
		if err == errMore { //nolint:errorlint // it is ours
			if c.n-i <= MaxRecord {
				break
			}
			if c.open.Line > 0 {
				c.at.Line += c.open.Line - 1
				c.at.Offset += c.open.Offset
				i += int(c.open.Offset)
			}
			err = c.failed(c.at, &LimitError{Limit: LimitRecord, Max: MaxRecord, Line: c.at.Line,
				Quoted: c.open.Line > 0})
			c.resync, next = true, i
		}
		if err == nil {
			err = c.pace.did(next - i + c.wrote)
		}
		if err != nil {
			return err
		}
		i = next
		if c.o >= chunkSize/2 {
			if err := c.give(); err != nil {
				return err
			}
		}
	}
	c.n = copy(c.buf, c.buf[i:c.n])
	return c.give()
}

// failed is the run's verdict on an error of one row. Without names there are no
// records, whatever follows.
func (c *csvReader) failed(at Position, err error) error {
	if c.header && c.prefixes == nil {
		return &RecordError{c.count.Stage, at, fmt.Errorf("the header can't be read: %w", err)}
	}
	return c.r.fail(c.count, at, err)
}

func (c *csvReader) give() error {
	if c.o == 0 {
		return nil
	}
	if err := c.growth.gave(c.o); err != nil {
		return err
	}
	if c.r.ctx.Err() != nil {
		return context.Cause(c.r.ctx)
	}
	c.b.data = c.out[:c.o]
	err := c.next.take(&c.b)
	c.b.texts, c.o = c.b.texts[:0], 0
	return err
}

func (c *csvReader) finish() error {
	if err := c.rows(true); err != nil {
		return err
	}
	return c.next.finish()
}

// row reads the row at buf[i] and returns where the next one begins.
func (c *csvReader) row(i int, final bool) (int, error) {
	if b := c.buf[i]; b == '\n' || b == '\r' { // an empty line
		n := lineEnd(c.buf[:c.n], i, final)
		if n == 0 {
			c.open = Position{}
			return 0, errMore
		}
		c.at.Line++
		c.at.Offset += int64(n)
		return i + n, nil
	}
	if c.prefixes == nil {
		return c.firstRow(i, final)
	}
	w := csvRow{c: c, i: i, o: c.o, prefixes: c.prefixes, final: final}
	err := w.read()
	if c.wrote = w.o - c.o; w.over {
		c.wrote = MaxRecord
	}
	if err != nil {
		return w.end(i, err)
	}
	at := c.at
	c.at.Line += int64(w.lines)
	c.at.Offset += int64(w.i - i)
	if w.fields != len(c.prefixes) {
		return w.i, c.failed(at,
			&RowError{fmt.Sprintf("row has %d fields, not %d", w.fields, len(c.prefixes))})
	}
	if w.over || w.o-1-c.o > MaxRecord {
		return w.i, c.failed(at, jq.ErrTooLong)
	}
	c.b.texts = append(c.b.texts, text{c.o, w.o - 1, at})
	c.o = w.o
	if w.replaced > 0 {
		c.count.Replaced += int64(w.replaced)
	}
	return w.i, nil
}

// end is what an error within a row that begins at buf[i] means: more data is
// needed, or the rest of the line is dropped. That is the line in which a field
// began that took in others: the lines after it are rows to be read.
func (w *csvRow) end(i int, err error) (int, error) {
	c := w.c
	if err == errMore { //nolint:errorlint // it is ours
		c.open = Position{}
		if w.open {
			c.open = Position{int64(w.quoteLine + 1), int64(w.quote - i)}
		}
		return 0, err
	}
	lines, next := w.lines, w.i
	if w.open || lines > w.quoteLine {
		lines, next = w.quoteLine, w.quote
	}
	c.at.Line += int64(lines)
	c.at.Offset += int64(next - i)
	c.resync = true
	return next, c.failed(c.at, err)
}

// firstRow reads the names, or how many fields there are.
func (c *csvReader) firstRow(i int, final bool) (int, error) {
	w := csvRow{c: c, i: i, o: c.o, prefixes: [][]byte{[]byte(`["`)}, final: final}
	err := w.read()
	if errors.Is(err, errColumns) { // and none is left out, whatever comes
		return 0, &RecordError{c.count.Stage, c.at, err}
	}
	if err != nil {
		return w.end(i, err)
	}
	if w.over {
		return 0, &RecordError{c.count.Stage, c.at, &LimitError{Limit: LimitRecord, Max: MaxRecord,
			Line: c.at.Line}}
	}
	var names []string
	c.out[w.o-2] = ']' // in place of the object's end
	if err := json.Unmarshal(c.out[c.o:w.o-1], &names); err != nil {
		return 0, fmt.Errorf("read the header: %w", err)
	}
	if c.header {
		c.header = false
		if err := c.name(names); err != nil {
			return 0, err
		}
		c.at.Line += int64(w.lines)
		c.at.Offset += int64(w.i - i)
		return w.i, nil
	}
	for k := range names {
		names[k] = strconv.Itoa(k + 1)
	}
	return i, c.name(names)
}
