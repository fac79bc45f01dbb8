package stream

import (
	"bufio"
	"errors"
	"io"
	"sync"
)

// Limits keep a decoder from being used as a bomb. Zero means no limit.
type Limits struct {
	Bytes int64 // the most bytes to give out
	Ratio int64 // the most bytes to give out for one read, once RatioFrom were given out
}

// RatioFrom is the number of bytes given out from which Limits.Ratio holds:
// short inputs reach high ratios honestly.
const RatioFrom = 1 << 20

// A Reader reads a stream decompressed. It is not safe for concurrent use.
type Reader struct {
	src    source
	br     *bufio.Reader
	format Format
	decode io.Reader // nil after Close
	limits Limits
	out    int64
	err    error // what ended reading
}

// NewReader starts to read r, which holds data of that format, Auto and Plain
// included. It reads the first bytes: an input that can't be of the format is a
// *CorruptError. An empty input is Plain to Auto, and cut short to Gzip and
// Zstd. The limits don't bind a plain stream. Close frees what the Reader holds
// and leaves r open.
func NewReader(r io.Reader, format Format, limits Limits) (*Reader, error) {
	d := &Reader{src: source{r: r}, br: buffered.Get().(*bufio.Reader), format: format, limits: limits}
	d.br.Reset(&d.src)
	if err := d.start(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Reader) start() error {
	if d.format != Plain {
		head, _ := d.br.Peek(magicLen)
		if d.src.err != nil {
			return d.src.err
		}
		found := Detect(head)
		switch {
		case d.format == Auto:
			d.format = found
		case d.format == found:
		case d.format.cutMagic(head):
			return &CorruptError{d.format, int64(len(head)), io.ErrUnexpectedEOF}
		default:
			return &CorruptError{d.format, 0, errors.New("not in this format")}
		}
	}
	switch d.format {
	case Gzip:
		d.decode = newGunzip(d.br)
	case Zstd:
		z, err := newUnzstd(d.br)
		if err != nil {
			return err
		}
		d.decode = z
	default:
		d.decode = d.br
	}
	return nil
}

// Format is the format the stream has: never Auto.
func (d *Reader) Format() Format { return d.format }

// In is the number of bytes consumed of the packed stream.
func (d *Reader) In() int64 {
	if d.br == nil {
		return d.src.n
	}
	return d.src.n - int64(d.br.Buffered())
}

// Out is the number of bytes given out.
func (d *Reader) Out() int64 { return d.out }

// Read reads decompressed bytes. They are to be trusted only when io.EOF was
// reached, for checksums stand at the end. Errors are those of the source as
// they are, *CorruptError and *LimitError; each is final.
func (d *Reader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.decode == nil {
		return 0, io.ErrClosedPipe
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := d.decode.Read(p)
	d.out += int64(n)
	if d.format != Plain {
		if limit := d.over(); limit != nil {
			d.err = limit
			return 0, d.err
		}
	}
	if err != nil {
		d.err = d.explain(err)
	}
	return n, d.err
}

// over returns the limit that the stream went over.
func (d *Reader) over() error {
	if d.limits.Bytes > 0 && d.out > d.limits.Bytes {
		return &LimitError{Limit: LimitBytes, Max: d.limits.Bytes}
	}
	// The division can't overflow, as the product might.
	if d.limits.Ratio > 0 && d.out > RatioFrom && d.out/d.limits.Ratio > d.In() {
		return &LimitError{Limit: LimitRatio, Max: d.limits.Ratio}
	}
	return nil
}

// explain turns a decoder's error into ours. The source's own error comes
// first, even when the decoder took it for a clean end.
func (d *Reader) explain(err error) error {
	if d.src.err != nil {
		return d.src.err
	}
	limit := (*LimitError)(nil)
	if Ended(err) || d.format == Plain || errors.As(err, &limit) || errors.Is(err, ErrBusy) {
		return err
	}
	return &CorruptError{d.format, d.In(), err}
}

// Close gives the buffers back. It does not close the source.
func (d *Reader) Close() {
	switch z := d.decode.(type) {
	case *gunzip:
		z.release()
	case *unzstd:
		z.release()
	}
	d.decode = nil
	if d.br != nil {
		d.src.n = d.In() // so that In stays right
		d.br.Reset(nil)
		buffered.Put(d.br)
		d.br = nil
	}
}

// source counts what is read and remembers the error that ended it.
type source struct {
	r   io.Reader
	n   int64
	err error // never io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && !Ended(err) {
		s.err = err
	}
	return n, err
}

// buffered pools the readers between a source and its decoder.
var buffered = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}
