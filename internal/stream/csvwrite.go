package stream

import (
	"bytes"
	"context"
	"fmt"

	"longshore/internal/jq"
)

// WriteCSV is the stage csv on records, which must be objects. It writes rows
// (RFC 4180, but with lines that end with LF), the names first unless NoHeader.
// The columns are Columns, or the first record's members; in the second case a
// member that the first record lacks is an error of its record, and so is a first
// record without any: nothing is left out unasked. Strings are written as they
// are, null and what is absent as nothing, all else as JSON.
func WriteCSV(o CSVOptions) Stage {
	return Stage{name: "csv", check: true, gives: func(in Kind) (Kind, bool) {
		return KindBytes, in == KindRecords
	},
		push: func(r *run, _ Kind, next flow) (flow, error) {
			w := &csvWriter{r: r, next: next, count: r.countOf(next), delimiter: o.delimiter(),
				header: !o.NoHeader, only: o.Columns != nil, pace: pacer{ctx: r.ctx}}
			w.special = string([]byte{w.delimiter, '"', '\r', '\n'})
			c := chunks.Get().(*chunk)
			w.out = c[:0]
			r.atEnd(func() { chunks.Put(c) })
			if w.only {
				return w, w.name(o.Columns)
			}
			return w, nil
		}}
}

type csvWriter struct {
	r         *run
	next      flow
	count     *StageCount
	delimiter byte
	special   string // what a field is put in quotes for
	header    bool   // names are to be written
	only      bool   // other members than the columns are left out
	columns   []int  // of each, its member among fields
	fields    *jq.Fields
	out       []byte
	plain     []byte // a string without its escapes
	b         batch

	row    int // where the row begins in out
	growth growth
	pace   pacer
}

func (w *csvWriter) name(columns []string) error {
	var members []string // each once, though it may be written twice
	known := map[string]int{}
	for _, name := range columns {
		i, ok := known[name]
		if !ok {
			i, members = len(members), append(members, name)
			known[name] = i
		}
		w.columns = append(w.columns, i)
	}
	w.fields = jq.NewFields(members...)
	if !w.header {
		return nil
	}
	w.row = len(w.out)
	for i, name := range columns {
		if err := w.field(i, []byte(name), len(columns)); err != nil {
			return err
		}
	}
	w.out = append(w.out, '\n')
	return nil
}

func (w *csvWriter) take(b *batch) error {
	if w.r.ctx.Err() != nil {
		return context.Cause(w.r.ctx)
	}
	for _, t := range b.texts {
		w.growth.in += int64(t.end - t.start + 1)
		w.row = len(w.out)
		err := w.record(b.data, t)
		did := t.end - t.start + len(w.out) - w.row
		if err != nil {
			w.out = w.out[:w.row]
			if err = w.r.fail(w.count, t.at, err); err != nil {
				return err
			}
		}
		if err := w.pace.did(did); err != nil {
			return err
		}
		if len(w.out) >= chunkSize/2 {
			if err := w.give(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *csvWriter) give() error {
	if len(w.out) == 0 {
		return nil
	}
	if err := w.growth.gave(len(w.out)); err != nil {
		return err
	}
	w.b.data, w.b.texts = w.out, nil
	err := w.next.take(&w.b)
	w.out = w.out[:0]
	return err
}

func (w *csvWriter) finish() error {
	if err := w.give(); err != nil {
		return err
	}
	return w.next.finish()
}

func (w *csvWriter) record(data []byte, t text) error {
	if w.fields == nil {
		if err := jq.NewFields().Find(data, t.start, t.end); err != nil {
			return err
		}
		names := jq.Names(data[t.start:t.end], MaxColumns+1)
		if names == nil {
			return &RowError{"record is not an object"}
		}
		if len(names) == 0 {
			return &RowError{"record has no members, from which the columns would come"}
		}
		if len(names) > MaxColumns {
			return &RecordError{w.count.Stage, t.at, errColumns}
		}
		if err := w.name(names); err != nil {
			return &RecordError{w.count.Stage, t.at, &LimitError{Limit: LimitRecord, Max: MaxRecord,
				Line: t.at.Line}}
		}
		w.row = len(w.out)
	}
	if err := w.fields.Find(data, t.start, t.end); err != nil {
		return err
	}
	if !w.fields.IsObject() {
		return &RowError{"record is not an object"}
	}
	if name, found := w.fields.Unknown(); found && !w.only {
		return &RowError{fmt.Sprintf("record has the member %.100q, the first one had not", name)}
	}
	for i, member := range w.columns {
		raw := w.fields.Raw(member)
		switch {
		case len(raw) == 0 || raw[0] == 'n':
			raw = nil
		case raw[0] == '"':
			raw = raw[1 : len(raw)-1]
			if bytes.IndexByte(raw, '\\') >= 0 {
				w.plain = jq.AppendUnquoted(w.plain[:0], raw)
				raw = w.plain
			}
		}
		if err := w.field(i, raw, len(w.columns)); err != nil {
			return err
		}
	}
	w.out = append(w.out, '\n')
	return nil
}

// field writes one field. Alone in its row, an empty one gets quotes: an empty
// line is no row. The error is jq.ErrTooLong, of a row longer than a record.
func (w *csvWriter) field(i int, value []byte, of int) error {
	if len(w.out)-w.row+len(value) > MaxRecord {
		return jq.ErrTooLong
	}
	if i > 0 {
		w.out = append(w.out, w.delimiter)
	}
	if !bytes.ContainsAny(value, w.special) && (len(value) > 0 || of > 1) {
		w.out = append(w.out, value...)
		return nil
	}
	w.out = append(w.out, '"')
	for {
		k := bytes.IndexByte(value, '"')
		if k < 0 {
			break
		}
		w.out = append(append(w.out, value[:k+1]...), '"')
		value = value[k+1:]
	}
	w.out = append(append(w.out, value...), '"')
	return nil
}
