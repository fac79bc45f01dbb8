package stream

import (
	"bufio"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// unzstd is a pooled zstd decoder. It decodes in the reader's goroutine, so
// that dropping one leaks nothing.
type unzstd struct{ *zstd.Decoder }

var unzstds sync.Pool // of *zstd.Decoder

func newUnzstd(br *bufio.Reader) (*unzstd, error) {
	if z, ok := unzstds.Get().(*zstd.Decoder); ok {
		if err := z.Reset(br); err != nil {
			return nil, fmt.Errorf("zstd decoder: %w", err)
		}
		return &unzstd{z}, nil
	}
	z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(MaxWindow))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &unzstd{z}, nil
}

func (u *unzstd) release() {
	if u.Reset(nil) == nil {
		unzstds.Put(u.Decoder)
	}
}
