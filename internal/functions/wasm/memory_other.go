//go:build !linux

package wasm

import "github.com/tetratelabs/wazero/experimental"

// memories hands memory to one instance, up to a bound, and remembers if it wanted more.
type memories struct {
	most    uint64
	refused bool
}

// Allocate allocates nothing yet.
func (m *memories) Allocate(uint64, uint64) experimental.LinearMemory { return &memory{of: m} }

func (m *memories) free() {}

type memory struct {
	of   *memories
	text []byte
}

// Reallocate copies what there is.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.of.most {
		m.of.refused = true
		return nil
	}
	if grown := size - uint64(len(m.text)); grown > 0 && size > uint64(cap(m.text)) {
		m.text = append(m.text, make([]byte, grown)...)
	}
	m.text = m.text[:size]
	return m.text
}

// Free leaves it to the collector.
func (m *memory) Free() { m.text = nil }
