package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// expectAbove is the size in bytes from which a body waits for the server's
// consent ("100 Continue"), so that a refused upload costs no traffic.
const expectAbove = 64 << 10

// A body is the input of a call, over all its tries.
type body struct {
	in    io.Reader
	size  int64 // -1 = unknown
	start int64 // where in begins, if it can be rewound
	seek  io.Seeker
	last  *reading // of the last try
}

// newBody notes where in stands. Where the size is unknown and in can be
// rewound, the size is found out.
func newBody(in io.Reader, size int64) *body {
	b := &body{in: in, size: size}
	s, ok := in.(io.Seeker)
	if !ok {
		return b
	}
	start, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return b // a pipe says it can and can't
	}
	if size < 0 {
		end, err := s.Seek(0, io.SeekEnd)
		if err != nil {
			return b
		}
		if _, err := s.Seek(start, io.SeekStart); err != nil {
			return b
		}
		b.size = end - start
	}
	b.start, b.seek = start, s
	return b
}

// attach makes the body that of a new try.
func (b *body) attach(req *http.Request) error {
	if b.last != nil && b.last.started() {
		if _, err := b.seek.Seek(b.start, io.SeekStart); err != nil {
			return fmt.Errorf("rewind the input: %w", err)
		}
	}
	b.last = &reading{in: b.in, left: b.size, closed: make(chan struct{})}
	req.Body, req.ContentLength = b.last, b.size
	if b.size == 0 {
		req.Body = http.NoBody
		close(b.last.closed)
	}
	if b.size < 0 || b.size > expectAbove {
		req.Header.Set("Expect", "100-continue")
	}
	return nil
}

// settle waits until nobody reads the input of the last try any more: the
// transport may go on for a moment after it has returned. An input that can't
// be rewound may block for ever; it is only cut off.
func (b *body) settle(ctx context.Context) {
	if b.seek == nil || b.last == nil {
		return
	}
	select {
	case <-b.last.closed:
	case <-ctx.Done():
	}
}

// again reports whether the body can be sent once more.
func (b *body) again() bool { return b.seek != nil || b.last == nil || !b.last.started() }

// failed returns the input's own error, if that is what ended the last try.
func (b *body) failed() error {
	if b.last == nil {
		return nil
	}
	return b.last.failed()
}

// A reading is the body of one try.
type reading struct {
	in     io.Reader
	left   int64  // bytes announced and not read yet; negative = nobody knows
	moved  func() // called with each read; may be nil
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	read bool
	err  error
}

func (r *reading) Read(p []byte) (int, error) {
	r.mu.Lock()
	r.read = true
	r.mu.Unlock()
	if r.moved != nil {
		r.moved()
	}
	n, err := r.in.Read(p)
	if r.left >= 0 {
		r.left = max(0, r.left-int64(n))
	}
	if err == nil || err == io.EOF && r.left <= 0 {
		return n, err
	}
	failure := err
	if err == io.EOF {
		failure = fmt.Errorf("it is %d bytes shorter than announced", r.left)
	}
	r.mu.Lock()
	r.err = failure
	r.mu.Unlock()
	return n, failure
}

// failed returns the input's own error.
func (r *reading) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close is called by the transport, once it reads no more.
func (r *reading) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *reading) started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}
