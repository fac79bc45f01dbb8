package wasm

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memories hands memory to one instance, up to a bound, and remembers if it wanted more.
// It is taken from the kernel and not from Go's heap: growth needs no copy, and the end
// of a job gives it back at once.
type memories struct {
	most    uint64
	refused bool
	all     []*memory
}

// Allocate reserves addresses only.
func (m *memories) Allocate(_, most uint64) experimental.LinearMemory {
	reserve := max(min(most, m.most), 1)
	text, err := unix.Mmap(-1, 0, int(reserve), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		text = nil
	}
	one := &memory{of: m, text: text}
	m.all = append(m.all, one)
	return one
}

// free gives back what an instance that failed has left.
func (m *memories) free() {
	for _, one := range m.all {
		one.Free()
	}
}

type memory struct {
	of   *memories
	text []byte // all that is reserved
}

// Reallocate makes so many bytes usable.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.text)) || size > 0 &&
		unix.Mprotect(m.text[:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
		m.of.refused = true
		return nil
	}
	return m.text[:size:size]
}

// Free may be called again.
func (m *memory) Free() {
	if m.text != nil {
		_ = unix.Munmap(m.text)
		m.text = nil
	}
}
