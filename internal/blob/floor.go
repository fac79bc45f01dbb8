package blob

import (
	"sync/atomic"
)

// spaceShare is the part of the whole space that is kept free at most: a small
// disk is not closed by a floor that is meant for large ones.
const spaceShare = 20

// A Floor is space that nobody may use up, lest it is missing to those who share
// the disk. nil is none. It is safe for concurrent use.
type Floor struct {
	// Space returns the bytes that are free and those that there are in all. An
	// error says that nobody knows: then there is enough.
	Space func() (free, total int64, err error)
	Min   int64 // bytes to keep free, but at most a twentieth of all

	writers atomic.Int64 // meters at work: each may be a step ahead
}

// Room returns ErrNoSpace unless n more bytes fit in above the floor.
func (f *Floor) Room(n int64) error {
	if f == nil || f.Min <= 0 {
		return nil
	}
	free, total, err := f.Space()
	if err != nil || free-n >= FloorOf(f.Min, total) {
		return nil
	}
	return ErrNoSpace
}

// FloorOf is what is to stay free of a space of total bytes, where least are wished for.
func FloorOf(least, total int64) int64 { return min(least, total/spaceShare) }

// floorStep is how much is written between two looks at the space, in bytes.
const floorStep = 1 << 20

// A Meter asks a floor before one writer writes. End ends it.
type Meter struct {
	floor *Floor
	left  int64
	on    bool
}

// Meter returns a meter of a writer.
func (f *Floor) Meter() *Meter { return &Meter{floor: f} }

// Take returns ErrNoSpace if n more bytes may not be written.
func (m *Meter) Take(n int) error {
	if m.floor == nil {
		return nil
	}
	if !m.on {
		m.on = true
		m.floor.writers.Add(1)
	}
	if m.left -= int64(n); m.left >= 0 {
		return nil
	}
	m.left = 0
	if err := m.floor.Room(max(int64(n), floorStep) + (m.floor.writers.Load()-1)*floorStep); err != nil {
		// The step is a convenience, the floor is what holds.
		return m.floor.Room(int64(n))
	}
	m.left = floorStep - min(int64(n), floorStep)
	return nil
}

// End says that nothing more is written.
func (m *Meter) End() {
	if m.on {
		m.on = false
		m.floor.writers.Add(-1)
	}
}
