package stream

import (
	"context"

	"longshore/internal/jq"
)

// sameTexts is the form of a stage that takes lines and records and gives the same.
func sameTexts(in Kind) (Kind, bool) { return in, in != KindBytes }

func toRecords(in Kind) (Kind, bool) { return KindRecords, in != KindBytes }

// Filter is the stage filter: it keeps the lines or records for which the
// expression gives a value other than null and false. A line is a string to it.
func Filter(e *jq.Expr) Stage {
	return Stage{name: "filter", gives: sameTexts, check: true, push: func(r *run, in Kind, next flow) (flow,
		error) {
		return &filter{r: r, next: next, count: r.countOf(next), lines: in == KindLines,
			machine: jq.NewMachine(r.ctx, e), pace: pacer{ctx: r.ctx}}, nil
	}}
}

type filter struct {
	r       *run
	next    flow
	count   *StageCount
	lines   bool
	machine *jq.Machine
	pace    pacer
}

// take drops from the batch what doesn't match; nothing is copied.
func (f *filter) take(b *batch) error {
	kept := b.texts[:0]
	for _, t := range b.texts {
		var keep bool
		var err error
		if f.lines {
			keep, err = f.machine.MatchText(b.data[t.start:t.end])
		} else {
			keep, err = f.machine.Match(b.data, t.start, t.end)
		}
		if err != nil {
			if err = f.r.fail(f.count, t.at, err); err != nil {
				return err
			}
		}
		if keep {
			kept = append(kept, t)
		}
		if err := f.pace.did(t.end - t.start); err != nil {
			return err
		}
	}
	b.texts = kept
	return f.next.take(b)
}

func (f *filter) finish() error { return f.next.finish() }

// A textWriter collects the texts that a stage makes.
type textWriter struct {
	r     *run
	next  flow
	count *StageCount
	b     batch
	pace  pacer
}

func newTextWriter(r *run, next flow) textWriter {
	c := chunks.Get().(*chunk)
	r.atEnd(func() { chunks.Put(c) })
	return textWriter{r: r, next: next, count: r.countOf(next), b: batch{data: c[:0]},
		pace: pacer{ctx: r.ctx}}
}

// add appends a piece to the text that began at data[start:], unless the text
// would be longer than a record may be: then the error is jq.ErrTooLong.
func (w *textWriter) add(start int, p []byte) error {
	if len(w.b.data)-start+len(p) > MaxRecord {
		return jq.ErrTooLong
	}
	w.b.data = append(w.b.data, p...)
	return nil
}

// close ends the text that began at data[start:], or throws it away if it is too
// long.
func (w *textWriter) close(start int, at Position) error {
	if len(w.b.data)-start > MaxRecord {
		return w.drop(start, at, jq.ErrTooLong)
	}
	w.end(start, at)
	return w.pace.did(len(w.b.data) - start)
}

// drop throws away the text that began at data[start:], because of an error.
func (w *textWriter) drop(start int, at Position, err error) error {
	did := len(w.b.data) - start
	w.b.data = w.b.data[:start]
	if err := w.r.fail(w.count, at, err); err != nil {
		return err
	}
	return w.pace.did(did)
}

// settle ends the text that began at data[start:], or throws it away because of the
// error that its making came to, and hands on what is full.
func (w *textWriter) settle(start int, at Position, err error) error {
	if err == nil {
		err = w.close(start, at)
	} else {
		err = w.drop(start, at, err)
	}
	if err != nil {
		return err
	}
	return w.full(false)
}

// end ends the text that began at data[start:].
func (w *textWriter) end(start int, at Position) {
	w.b.texts = append(w.b.texts, text{start, len(w.b.data), at})
	w.b.data = append(w.b.data, '\n')
}

// full passes on what is there once it is much, or when last.
func (w *textWriter) full(last bool) error {
	if len(w.b.texts) == 0 || !last && len(w.b.data) < chunkSize/2 {
		return nil
	}
	if w.r.ctx.Err() != nil {
		return context.Cause(w.r.ctx)
	}
	if cap(w.b.data)-len(w.b.data) < jq.Pad {
		w.b.data = append(w.b.data, make([]byte, jq.Pad)...)[:len(w.b.data)]
	}
	err := w.next.take(&w.b)
	w.b.data, w.b.texts = w.b.data[:0], w.b.texts[:0]
	return err
}

// maxMapped bounds what an expression makes of one record, in bytes: nothing of
// it is passed on before it has come to its end without an error.
const maxMapped = 4 * MaxRecord

// Map is the stage map: each value that the expression gives for a line or a
// record becomes a record. A line is a string to it.
func Map(e *jq.Expr) Stage {
	return Stage{name: "map", gives: toRecords, check: true, push: func(r *run, in Kind, next flow) (flow,
		error) {
		return &mapper{textWriter: newTextWriter(r, next), lines: in == KindLines,
			machine: jq.NewMachine(r.ctx, e)}, nil
	}}
}

type mapper struct {
	textWriter
	lines   bool
	machine *jq.Machine
}

func (m *mapper) take(b *batch) error {
	for _, t := range b.texts {
		size, texts := len(m.b.data), len(m.b.texts)
		emit := func(record []byte) error {
			start := len(m.b.data)
			if start-size+len(record) > maxMapped {
				return jq.ErrTooLong
			}
			m.b.data = append(m.b.data, record...)
			m.end(start, t.at)
			return nil
		}
		var err error
		if m.lines {
			err = m.machine.MapText(b.data[t.start:t.end], MaxRecord, emit)
		} else {
			err = m.machine.Map(b.data, t.start, t.end, MaxRecord, emit)
		}
		if err != nil {
			m.b.data, m.b.texts = m.b.data[:size], m.b.texts[:texts]
			if err = m.r.fail(m.count, t.at, err); err != nil {
				return err
			}
		}
		if err := m.full(false); err != nil {
			return err
		}
	}
	return m.full(true)
}

func (m *mapper) finish() error { return m.next.finish() }

// Select is the stage select: of each record, which must be an object, it keeps
// the members of these names, in this order. What a record lacks stays absent.
func Select(names ...string) Stage {
	return Stage{name: "select", check: true, gives: func(in Kind) (Kind, bool) {
		return KindRecords, in == KindRecords
	},
		push: func(r *run, _ Kind, next flow) (flow, error) {
			s := &selecting{textWriter: newTextWriter(r, next), fields: jq.NewFields(names...)}
			for _, name := range names {
				s.keys = append(s.keys, append(jq.AppendString(nil, name), ':'))
			}
			return s, nil
		}}
}

type selecting struct {
	textWriter
	fields *jq.Fields
	keys   [][]byte // as JSON, with the colon
}

func (s *selecting) take(b *batch) error {
	for _, t := range b.texts {
		err := s.fields.Find(b.data, t.start, t.end)
		if err == nil && !s.fields.IsObject() {
			err = &RowError{"record is not an object"}
		}
		if err != nil {
			if err = s.r.fail(s.count, t.at, err); err != nil {
				return err
			}
			continue
		}
		start := len(s.b.data)
		if err := s.settle(start, t.at, s.write(start)); err != nil {
			return err
		}
	}
	return s.full(true)
}

// write writes the fields that were found, as long as they fit into a record:
// one may be asked for many times.
func (s *selecting) write(start int) error {
	s.b.data = append(s.b.data, '{')
	for i, key := range s.keys {
		raw := s.fields.Raw(i)
		if len(raw) == 0 {
			continue
		}
		if len(s.b.data) > start+1 {
			s.b.data = append(s.b.data, ',')
		}
		if len(s.b.data)-start+len(key)+len(raw) > MaxRecord {
			return jq.ErrTooLong
		}
		s.b.data = append(append(s.b.data, key...), raw...)
	}
	s.b.data = append(s.b.data, '}')
	return nil
}

func (s *selecting) finish() error { return s.next.finish() }
