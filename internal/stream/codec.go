package stream

import (
	"context"
	"io"
	"sync"
)

func toBytes(Kind) (Kind, bool) { return KindBytes, true }

// Decompress is the stage gunzip or unzstd: it reads Gzip or Zstd and gives out
// at most maxRatio bytes for one read, once RatioFrom were given out.
func Decompress(format Format, maxRatio int64) Stage {
	return Stage{name: map[Format]string{Gzip: "gunzip", Zstd: "unzstd", Auto: "decompress"}[format],
		gives: toBytes, pull: func(r *run, src io.Reader) (io.Reader, func(), error) {
			z, err := NewReader(src, format, Limits{Bytes: r.options.MaxBytes, Ratio: maxRatio})
			if err != nil {
				return nil, nil, err
			}
			return z, z.Close, nil
		}}
}

// Compress is the stage gzip or zstd at a level of 0 to MaxLevel, see NewWriter.
func Compress(format Format, level int) Stage {
	return Stage{name: string(format), gives: toBytes,
		push: func(r *run, _ Kind, next flow) (flow, error) {
			c := &compressing{next: next, pace: pacer{ctx: r.ctx}}
			var err error
			c.z, err = NewWriter(&flowWriter{next: next}, format, level)
			return c, err
		}}
}

type compressing struct {
	z    *Writer
	next flow
	pace pacer
}

// packedAtOnce is what the slowest level does in some milliseconds.
const packedAtOnce = 32 << 10

func (c *compressing) take(b *batch) error {
	return eachRun(b, func(p []byte) error {
		for len(p) > 0 {
			piece := p[:min(len(p), packedAtOnce)]
			if err := writeAll(c.z, piece); err != nil {
				return err
			}
			if err := c.pace.did(paceBytes); err != nil { // the context's turn
				return err
			}
			p = p[len(piece):]
		}
		return nil
	})
}

func (c *compressing) finish() error {
	if err := c.z.Close(); err != nil {
		return err
	}
	return c.next.finish()
}

// A pipe is a stage that fetches its data, in the midst of stages that are
// handed theirs. It works in a goroutine of its own.
type pipe struct {
	w    *io.PipeWriter
	done chan struct{}
	err  error // after done
}

func newPipe(r *run, s Stage, _ *StageCount, next flow) *pipe {
	pr, pw := io.Pipe()
	p := &pipe{w: pw, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = func() error {
			src, release, err := s.pull(r, pr)
			if err != nil {
				return err
			}
			defer release()
			return pump(r.ctx, src, next)
		}()
		pr.CloseWithError(p.err) // nil makes it io.ErrClosedPipe
	}()
	r.atEnd(func() {
		pw.CloseWithError(context.Canceled) // after finish: does nothing
		<-p.done
	})
	return p
}

func (p *pipe) take(b *batch) error {
	return eachRun(b, func(data []byte) error {
		_, err := p.w.Write(data)
		return err
	})
}

func (p *pipe) finish() error {
	_ = p.w.Close() // which never fails
	<-p.done
	return p.err
}

// ahead reads from a slow reader in a goroutine of its own, so that what
// decompresses and what takes the data in use two cores.
type ahead struct {
	filled chan piece
	quit   chan struct{}
	once   sync.Once
	now    piece
	rest   []byte
}

type piece struct {
	c   *chunk
	n   int
	err error
}

func newAhead(ctx context.Context, r io.Reader) *ahead {
	a := &ahead{filled: make(chan piece, 1), quit: make(chan struct{})}
	go func() {
		defer close(a.filled)
		for {
			p := piece{c: chunks.Get().(*chunk)}
			p.n, p.err = fill(ctx, r, p.c[:])
			select {
			case a.filled <- p:
			case <-a.quit:
				chunks.Put(p.c)
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	return a
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		a.free()
		a.now = <-a.filled
		a.rest = a.now.c[:a.now.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *ahead) free() {
	if a.now.c != nil {
		chunks.Put(a.now.c)
	}
	a.now.c = nil
}

// stop waits for the goroutine to end.
func (a *ahead) stop() {
	a.once.Do(func() { close(a.quit) })
	a.free()
	for p := range a.filled {
		chunks.Put(p.c)
	}
}
