package stream

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// gunzip reads gzip members (RFC 1952) one after another. Zeros after the last
// one are the padding of tapes and block devices and are ignored, as gzip(1)
// does; anything else there is an error. The texts of a header, a file's name and
// a comment, may have any length: they are skipped, not kept.
type gunzip struct {
	br      *bufio.Reader
	inflate io.ReadCloser // and a flate.Resetter; pooled
	inside  bool          // a member is open
	members int64
	sum     uint32 // CRC-32 of what the member gave, or of its header
	size    uint32 // modulo 1<<32
}

var (
	inflaters    = sync.Pool{New: func() any { return flate.NewReader(nil) }}
	errTrailing  = errors.New("other data after the last member")
	errGzipHead  = errors.New("invalid header")
	errGzipCheck = errors.New("wrong checksum or length")
)

// The flags of a member's header.
const (
	gzipHasSum = 1 << 1 << iota
	gzipHasExtra
	gzipHasName
	gzipHasComment
	gzipReserved // and above
)

func newGunzip(br *bufio.Reader) *gunzip {
	return &gunzip{br: br, inflate: inflaters.Get().(io.ReadCloser)}
}

func (g *gunzip) Read(p []byte) (int, error) {
	for {
		if !g.inside {
			if err := g.next(); err != nil {
				return 0, err
			}
		}
		n, err := g.inflate.Read(p)
		g.sum = crc32.Update(g.sum, crc32.IEEETable, p[:n])
		g.size += uint32(n)
		if Ended(err) {
			g.inside = false
			err = g.trailer()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// trailer compares what a member gave with what stands at its end.
func (g *gunzip) trailer() error {
	var b [8]byte
	if _, err := io.ReadFull(g.br, b[:]); err != nil {
		return noEOF(err)
	}
	if binary.LittleEndian.Uint32(b[:]) != g.sum || binary.LittleEndian.Uint32(b[4:]) != g.size {
		return errGzipCheck
	}
	return nil
}

// noEOF is the error of a read that should not have met the end.
func noEOF(err error) error {
	if Ended(err) {
		return io.ErrUnexpectedEOF
	}
	return err
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
	if err := g.header(); err != nil {
		return noEOF(err) // there was a first byte
	}
	if err := g.inflate.(flate.Resetter).Reset(g.br, nil); err != nil {
		return err
	}
	g.sum, g.size = 0, 0
	g.inside = true
	g.members++
	return nil
}

// header reads a member's header.
func (g *gunzip) header() error {
	g.sum = 0
	b, err := g.take(10)
	if err != nil {
		return err
	}
	flags := b[3]
	if string(b[:3]) != string(gzipMagic) || flags >= gzipReserved {
		return errGzipHead
	}
	if flags&gzipHasExtra != 0 {
		if b, err = g.take(2); err != nil {
			return err
		}
		for left := int(binary.LittleEndian.Uint16(b)); left > 0; left -= len(b) {
			if b, err = g.take(min(left, g.br.Size())); err != nil {
				return err
			}
		}
	}
	for _, flag := range []byte{gzipHasName, gzipHasComment} {
		if flags&flag != 0 {
			if err := g.text(); err != nil {
				return err
			}
		}
	}
	if flags&gzipHasSum != 0 {
		sum := uint16(g.sum)
		if b, err = g.take(2); err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(b) != sum {
			return errGzipHead
		}
	}
	return nil
}

// take reads n bytes of a header, which are valid until the next read.
func (g *gunzip) take(n int) ([]byte, error) {
	b, err := g.br.Peek(n)
	g.sum = crc32.Update(g.sum, crc32.IEEETable, b)
	_, _ = g.br.Discard(len(b)) // which is there
	return b, err
}

// text skips a text that ends with a NUL.
func (g *gunzip) text() error {
	for {
		part, err := g.br.ReadSlice(0)
		g.sum = crc32.Update(g.sum, crc32.IEEETable, part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
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

func (g *gunzip) release() { inflaters.Put(g.inflate) }
