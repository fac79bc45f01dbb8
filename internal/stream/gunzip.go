package stream

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gunzip reads gzip members one after another. Zeros after the last one are
// the padding of tapes and block devices and are ignored, as gzip(1) does;
// anything else there is an error.
type gunzip struct {
	br      *bufio.Reader
	z       *gzip.Reader
	inside  bool // a member is open
	members int64
}

var (
	gunzips     = sync.Pool{New: func() any { return new(gzip.Reader) }}
	errTrailing = errors.New("other data after the last member")
)

func newGunzip(br *bufio.Reader) *gunzip {
	return &gunzip{br: br, z: gunzips.Get().(*gzip.Reader)}
}

func (g *gunzip) Read(p []byte) (int, error) {
	for {
		if !g.inside {
			if err := g.next(); err != nil {
				return 0, err
			}
		}
		n, err := g.z.Read(p)
		if Ended(err) {
			g.inside, err = false, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next opens the next member, or returns io.EOF after the last one.
func (g *gunzip) next() error {
	if g.members > 0 {
		switch head, err := g.br.Peek(1); {
		case err != nil:
			return err
		case head[0] == 0:
			return g.padding()
		case head[0] != gzipMagic[0]:
			return errTrailing
		}
	}
	if err := g.z.Reset(g.br); err != nil {
		if Ended(err) { // there was a first byte
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	g.z.Multistream(false) // else the end of a member and broken padding look alike
	g.inside = true
	g.members++
	return nil
}

func (g *gunzip) padding() error {
	for {
		switch c, err := g.br.ReadByte(); {
		case err != nil:
			return err
		case c != 0:
			return errTrailing
		}
	}
}

func (g *gunzip) release() { gunzips.Put(g.z) }
