package stream

import (
	"context"
	"errors"
)

// MaxColumns is how many columns a table may have, read or written.
const MaxColumns = 10_000

// MaxGrowth is how many bytes the stage csv gives out for one that it takes, on
// the whole, once RatioFrom were given out: a long name in front of each short
// field makes a bomb, as good as any that is packed.
const MaxGrowth = 100

// errColumns says that a table has too many columns.
var errColumns = errors.New("more than 10000 columns")

// A growth holds what a stage gives out against what it takes.
type growth struct{ in, out int64 }

func (g *growth) gave(n int) error {
	if g.out += int64(n); g.out > RatioFrom && g.out > g.in*MaxGrowth {
		return &LimitError{Limit: LimitGrowth, Max: MaxGrowth}
	}
	return nil
}

// A pacer looks at the context each time that some work has been done, so that a
// run ends within milliseconds of being told so, whatever its stages make of a
// piece of data.
type pacer struct {
	ctx  context.Context
	left int
}

const (
	paceBytes  = 256 << 10
	paceRecord = 64 // bytes of work that a record takes, however short it is
)

// did counts work on n bytes. The error is the context's cause.
func (p *pacer) did(n int) error {
	if p.left -= n + paceRecord; p.left > 0 { // short, to be inlined
		return nil
	}
	return p.look()
}

func (p *pacer) look() error {
	p.left = paceBytes
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return nil
}
