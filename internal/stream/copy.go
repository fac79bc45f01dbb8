package stream

import (
	"context"
	"io"
	"sync"
)

// chunkSize is how much is moved at once: few calls, and still within a core's
// second-level cache.
const chunkSize = 256 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// Copy copies until src ends and returns the bytes written. It ends early, with
// the context's cause, when the context is done; it looks before each
// Read. Every Write but the last is of 256 KiB, however small the pieces are
// that src hands out.
func Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	buf := chunks.Get().(*chunk)
	defer chunks.Put(buf)
	var written int64
	for {
		n, readErr := fill(ctx, src, buf[:])
		if n > 0 {
			m, err := dst.Write(buf[:n])
			written += int64(m)
			if err == nil && m < n {
				err = io.ErrShortWrite
			}
			if err != nil {
				return written, err
			}
		}
		if Ended(readErr) {
			return written, nil
		}
		if readErr != nil {
			return written, readErr
		}
	}
}

// fill reads until buf is full or src ends, with src's error.
func fill(ctx context.Context, src io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		var m int
		m, err = src.Read(buf[n:])
		n += m
	}
	return n, err
}

// WithContext returns a reader that ends with the context's cause once the
// context is done. It can't interrupt a Read that blocks.
func WithContext(ctx context.Context, r io.Reader) io.Reader { return &contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
