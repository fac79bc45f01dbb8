package stream

import (
	"bufio"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// MaxLevel is the smallest and slowest compression level. 0 lets the format
// choose, 1 is the fastest.
const MaxLevel = 9

// encoder is what the two formats' writers have in common.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// A Writer compresses what is written to it. The same bytes written give the
// same stream: no time and no name is in it. It is not safe for concurrent use.
type Writer struct {
	encode encoder // nil after Close
	pool   *sync.Pool
	bw     *bufio.Writer // encoders write in small pieces
	sink   sink
}

// sink counts what is written.
type sink struct {
	w io.Writer
	n int64
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}

var collected = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 64<<10) }}

// encoders are the pools of encoders, one a level.
var encoders = map[Format]*[MaxLevel + 1]sync.Pool{Gzip: {}, Zstd: {}}

// NewWriter compresses to w in format Gzip or Zstd at a level of 0 to MaxLevel.
func NewWriter(w io.Writer, format Format, level int) (*Writer, error) {
	pools := encoders[format]
	if pools == nil {
		return nil, fmt.Errorf("no encoder for format %q", format)
	}
	if level < 0 || level > MaxLevel {
		return nil, fmt.Errorf("compression level %d is not between 0 and %d", level, MaxLevel)
	}
	z := &Writer{pool: &pools[level], bw: collected.Get().(*bufio.Writer), sink: sink{w: w}}
	z.bw.Reset(&z.sink)
	if e, ok := z.pool.Get().(encoder); ok {
		e.Reset(z.bw)
		z.encode = e
		return z, nil
	}
	e, err := newEncoder(z.bw, format, level)
	if err != nil {
		return nil, err
	}
	z.encode = e
	return z, nil
}

func newEncoder(w io.Writer, format Format, level int) (encoder, error) {
	if format == Gzip {
		if level == 0 {
			level = gzip.DefaultCompression
		}
		e, err := gzip.NewWriterLevel(w, level)
		if err != nil {
			return nil, fmt.Errorf("gzip encoder: %w", err)
		}
		return e, nil
	}
	speed := zstd.SpeedDefault
	if level > 0 {
		// The levels of gzip over the four that this zstd has: 1, 2–3, 4–6, 7–9.
		speed = [...]zstd.EncoderLevel{
			1: zstd.SpeedFastest,
			2: zstd.SpeedDefault, 3: zstd.SpeedDefault,
			4: zstd.SpeedBetterCompression, 5: zstd.SpeedBetterCompression, 6: zstd.SpeedBetterCompression,
			7: zstd.SpeedBestCompression, 8: zstd.SpeedBestCompression, 9: zstd.SpeedBestCompression,
		}[level]
	}
	// One at a time in the writer's goroutine, so that dropping an encoder leaks nothing.
	e, err := zstd.NewWriter(w, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	return e, nil
}

// Write compresses p. Errors are those of the writer below.
func (z *Writer) Write(p []byte) (int, error) {
	if z.encode == nil {
		return 0, io.ErrClosedPipe
	}
	return z.encode.Write(p)
}

// Out is the number of compressed bytes written; it is exact after Close.
func (z *Writer) Out() int64 { return z.sink.n }

// Close ends the stream; without it the stream is not complete. It does not
// close the writer below. A Writer that met an error, or whose stream is not
// wanted any more, needs no Close.
func (z *Writer) Close() error {
	if z.encode == nil {
		return nil
	}
	e := z.encode
	z.encode = nil
	if err := e.Close(); err != nil {
		return err
	}
	if err := z.bw.Flush(); err != nil {
		return err
	}
	e.Reset(io.Discard)
	z.pool.Put(e)
	z.bw.Reset(nil)
	collected.Put(z.bw)
	return nil
}
