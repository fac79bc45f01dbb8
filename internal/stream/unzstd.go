package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Memory of zstd decoders. A decoder keeps as much of what it gave as its frame
// says, the window.
const (
	// MaxWindow is the largest window, in bytes: that of zstd(1) when it is not
	// told otherwise, and of its --long=27.
	MaxWindow = 128 << 20
	// smallWindow may be had by any number of decoders; zstd's levels up to 19
	// need no more.
	smallWindow = 8 << 20
	// largeWindows is what all larger windows of this process may have together.
	largeWindows = 256 << 20
)

// ErrBusy says that other decoders have the memory that a zstd frame needs. It
// passes when they end.
var ErrBusy = errors.New("the memory for large zstd windows is in use")

var windowsInUse atomic.Int64

// unzstd is a pooled zstd decoder. It decodes in the reader's goroutine, so
// that dropping one leaks nothing.
type unzstd struct {
	*zstd.Decoder
	frames frames
}

var unzstds sync.Pool // of *zstd.Decoder

func newUnzstd(br *bufio.Reader) (*unzstd, error) {
	u := &unzstd{frames: frames{br: br}}
	if z, ok := unzstds.Get().(*zstd.Decoder); ok {
		if err := z.Reset(&u.frames); err != nil {
			return nil, fmt.Errorf("zstd decoder: %w", err)
		}
		u.Decoder = z
		return u, nil
	}
	z, err := zstd.NewReader(&u.frames, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(MaxWindow))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	u.Decoder = z
	return u, nil
}

// release keeps the decoder for others, unless it holds much.
func (u *unzstd) release() {
	if u.frames.reserved > 0 {
		u.Decoder.Close()
		windowsInUse.Add(-u.frames.reserved)
		u.frames.reserved = 0
		return
	}
	if u.Reset(nil) == nil {
		unzstds.Put(u.Decoder)
	}
}

// frames hands a stream to the decoder, and looks at each frame's header (RFC
// 8878, 3.1.1) before the decoder does.
type frames struct {
	br       *bufio.Reader
	left     int64 // bytes to hand out before the next header
	blocks   bool  // that is a block's; else a frame's
	sum      int64 // length of the checksum behind the frame's last block
	reserved int64 // of largeWindows
}

func (f *frames) Read(p []byte) (int, error) {
	for f.left == 0 {
		var err error
		if f.blocks {
			err = f.block()
		} else {
			err = f.frame()
		}
		if err != nil {
			return 0, err
		}
	}
	n, err := f.br.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// passOn hands out the rest as it is: the decoder will say what is wrong with it.
func (f *frames) passOn() error {
	f.left = math.MaxInt64
	return nil
}

func (f *frames) frame() error {
	head, err := f.br.Peek(zstd.HeaderMaxSize)
	if len(head) == 0 {
		return err
	}
	var h zstd.Header
	if h.Decode(head) != nil {
		return f.passOn()
	}
	if h.Skippable {
		f.left = int64(h.HeaderSize) + int64(h.SkippableSize)
		return nil
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if window > MaxWindow {
		return &LimitError{Limit: LimitWindow, Max: MaxWindow}
	}
	if !f.reserve(int64(window)) {
		return ErrBusy
	}
	f.left, f.blocks, f.sum = int64(h.HeaderSize), true, 0
	if h.HasCheckSum {
		f.sum = 4
	}
	return nil
}

// reserve takes a window's memory.
func (f *frames) reserve(window int64) bool {
	more := window - max(smallWindow, f.reserved)
	if f.reserved == 0 && more > 0 {
		more = window
	}
	if more <= 0 {
		return true
	}
	if windowsInUse.Add(more) > largeWindows {
		windowsInUse.Add(-more)
		return false
	}
	f.reserved += more
	return true
}

func (f *frames) block() error {
	b, err := f.br.Peek(3)
	if len(b) < 3 {
		if err != nil && !Ended(err) {
			return err
		}
		return f.passOn()
	}
	head := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
	f.left = 3 + head>>3
	if head>>1&3 == 1 { // one byte, so many times
		f.left = 4
	}
	if head&1 == 1 {
		f.left += f.sum
		f.blocks = false
	}
	return nil
}

var _ io.Reader = (*frames)(nil)
