package family

import "sync"

// TailSize is how much a Tail keeps, in bytes.
const TailSize = 64 << 10

// A Tail keeps the last bytes that were written to it. The zero value is empty and
// ready; it is safe for concurrent use.
type Tail struct {
	mu   sync.Mutex
	kept []byte // grows up to TailSize, then its oldest bytes are written over
	next int    // where the next byte goes, once it is full
}

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if over := len(p) - TailSize; over > 0 {
		p = p[over:]
	}
	if room := TailSize - len(t.kept); room > 0 {
		fits := min(room, len(p))
		t.kept = append(t.kept, p[:fits]...)
		p = p[fits:]
	}
	for len(p) > 0 {
		copied := copy(t.kept[t.next:], p)
		t.next = (t.next + copied) % TailSize
		p = p[copied:]
	}
	return n, nil
}

// Take returns what is kept and forgets it.
func (t *Tail) Take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return nil
	}
	text := append(append([]byte(nil), t.kept[t.next:]...), t.kept[:t.next]...)
	t.kept, t.next = nil, 0
	return text
}
