package edge

import (
	"context"
	"net/netip"
	"sync"
)

// A Limiter counts what clients have under way, waits or uploads, so that neither
// one client nor all together hold more than we have room for.
type Limiter struct {
	max, perAddress int // 0 = no limit

	mu    sync.Mutex
	all   int
	of    map[netip.Addr]int
	empty chan struct{} // closed when all have left; nil: nobody waits for that
}

// NewLimiter returns a limiter; 0 = no limit.
func NewLimiter(max, perAddress int) *Limiter {
	return &Limiter{max: max, perAddress: perAddress, of: map[netip.Addr]int{}}
}

// Enter counts one more in, unless there are too many. Who is in leaves.
func (l *Limiter) Enter(client netip.Addr) bool {
	client = clientPrefix(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.max > 0 && l.all >= l.max || l.perAddress > 0 && l.of[client] >= l.perAddress {
		return false
	}
	l.all++
	if l.perAddress > 0 {
		l.of[client]++
	}
	return true
}

// In is how many are in now.
func (l *Limiter) In() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// Leave counts one out.
func (l *Limiter) Leave(client netip.Addr) {
	client = clientPrefix(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all--; l.all == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
	if l.of[client]--; l.of[client] <= 0 {
		delete(l.of, client)
	}
}

// Wait returns when all have left; for the end of the server.
func (l *Limiter) Wait(ctx context.Context) error {
	l.mu.Lock()
	if l.all == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
