package stream

import (
	"io"
	"slices"
)

// A drain is the end of a pipeline: it writes to dst, in large pieces.
type drain struct {
	r   *run
	dst io.Writer
	buf []byte // not written yet
	n   int64  // taken
}

func newSink(r *run, dst io.Writer) *drain {
	c := chunks.Get().(*chunk)
	r.atEnd(func() { chunks.Put(c) })
	return &drain{r: r, dst: dst, buf: c[:0]}
}

func (d *drain) take(b *batch) error { return eachRun(b, d.write) }

func (d *drain) write(p []byte) error {
	d.n += int64(len(p))
	if limit := d.r.options.MaxBytes; limit > 0 && d.n > limit {
		return &LimitError{Limit: LimitOutput, Max: limit}
	}
	large := len(p) > cap(d.buf)/2 // to be written as it is, behind what came before
	if large || len(d.buf)+len(p) > cap(d.buf) {
		if err := d.flush(); err != nil {
			return err
		}
	}
	if large {
		return writeAll(d.dst, p)
	}
	d.buf = append(d.buf, p...)
	return nil
}

func (d *drain) flush() error {
	err := writeAll(d.dst, d.buf)
	d.buf = d.buf[:0]
	return err
}

func (d *drain) finish() error { return d.flush() }

func writeAll(w io.Writer, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// eachRun hands out a batch as bytes: texts that stand side by side at once.
func eachRun(b *batch, write func([]byte) error) error {
	if b.texts == nil {
		return write(b.data)
	}
	for i := 0; i < len(b.texts); {
		start, end := b.texts[i].start, b.texts[i].end
		for i++; i < len(b.texts) && b.texts[i].start == end+1; i++ {
			end = b.texts[i].end
		}
		if err := write(b.data[start : end+1]); err != nil {
			return err
		}
	}
	return nil
}

// A flowWriter is a flow of bytes as an io.Writer.
type flowWriter struct {
	next flow
	b    batch
}

func (w *flowWriter) Write(p []byte) (int, error) {
	w.b.data, w.b.texts = slices.Clip(p), nil // what is behind is its owner's
	if err := w.next.take(&w.b); err != nil {
		return 0, err
	}
	return len(p), nil
}
