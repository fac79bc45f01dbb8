package host

import (
	"sync"

	"longshore/internal/functions"
)

// holds counts who needs the copy of a deployed function: the list of those that are
// deployed, and each opening of it that runs. The last one lets it go. A folder of the same
// type may come and go meanwhile, so neither can do so alone.
type holds struct {
	mu    sync.Mutex
	users map[*functions.Function]int
}

func (h *holds) take(f *functions.Function) {
	if f.Hold == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users == nil {
		h.users = map[*functions.Function]int{}
	}
	h.users[f]++
}

func (h *holds) drop(f *functions.Function) error {
	if f.Hold == nil {
		return nil
	}
	h.mu.Lock()
	h.users[f]--
	last := h.users[f] == 0
	if last {
		delete(h.users, f)
	}
	h.mu.Unlock()
	if !last {
		return nil
	}
	return f.Hold.Close()
}
