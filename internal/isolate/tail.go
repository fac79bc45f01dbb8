package isolate

import (
	"os"
	"sync"
)

// stderrKept is how much of what a child writes to stdout and stderr is kept.
const stderrKept = 64 << 10

// A tail keeps the last bytes that a child wrote to stdout and stderr.
type tail struct {
	mu   sync.Mutex
	ring []byte // grows up to stderrKept
	next int    // where the next byte goes, once the ring is full
}

func (t *tail) write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over := len(p) - stderrKept; over > 0 {
		p = p[over:]
	}
	if room := stderrKept - len(t.ring); room > 0 {
		n := min(room, len(p))
		t.ring = append(t.ring, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(t.ring[t.next:], p)
		t.next = (t.next + n) % stderrKept
		p = p[n:]
	}
}

// take returns what is kept and forgets it.
func (t *tail) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) == 0 {
		return nil
	}
	text := append(append([]byte(nil), t.ring[t.next:]...), t.ring[:t.next]...)
	t.ring, t.next = nil, 0
	return text
}

// drain reads a child's stdout and stderr until all who can write there are
// gone, or r is closed.
func (t *tail) drain(r *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		t.write(buf[:n])
		if err != nil {
			return // the end, or closed
		}
	}
}
