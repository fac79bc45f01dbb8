package web

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// guests counts what clients have under way, waits or uploads, so that neither
// one client nor all together hold more than we have room for.
type guests struct {
	max, perAddress int // 0 = no limit

	mu    sync.Mutex
	all   int
	of    map[netip.Addr]int
	empty chan struct{} // closed when all have left; nil: nobody waits for that
}

func newGuests(max, perAddress int) *guests {
	return &guests{max: max, perAddress: perAddress, of: map[netip.Addr]int{}}
}

// enter counts one more in, unless there are too many. Who is in leaves.
func (g *guests) enter(client netip.Addr) bool {
	client = household(client)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.max > 0 && g.all >= g.max || g.perAddress > 0 && g.of[client] >= g.perAddress {
		return false
	}
	g.all++
	if g.perAddress > 0 {
		g.of[client]++
	}
	return true
}

func (g *guests) leave(client netip.Addr) {
	client = household(client)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all--; g.all == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
	if g.of[client]--; g.of[client] <= 0 {
		delete(g.of, client)
	}
}

// wait returns when all have left; for the end of the server.
func (g *guests) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.all == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// household is what counts as one client: an IPv4 address, or the /64 that
// one subscriber of IPv6 has at least.
func household(client netip.Addr) netip.Addr {
	if client.Is6() && !client.Is4In6() {
		if p, err := client.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return client
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "" // a Unix socket's
	}
	return a.String()
}

// admitWaiter lets the request of this answer wait. Beyond the caps it says in
// Retry-After when to come back; the times differ, so that those who are turned
// away don't come back together.
func (s *Server) admitWaiter(a *answer) bool {
	if s.waiters.enter(a.client) {
		return true
	}
	a.Header().Set("Retry-After", strconv.Itoa(2+rand.IntN(4)))
	return false
}

// grant cuts a wish to wait down to what we give: nothing where too many wait
// already. Who is given something leaves the waiters after it.
func (s *Server) grant(a *answer, wish time.Duration) time.Duration {
	granted := min(wish, s.MaxWait)
	if granted <= 0 || !s.admitWaiter(a) {
		return 0
	}
	return granted
}

type connKey struct{}

// withConn lets handlers that stream for long get at their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// sendBuffer is how much may be on the way to a client that follows jobs, in
// bytes of its kernel buffer, which Linux makes twice as large: 256 KiB. We keep
// nothing beyond that for a client that does not read; it gets the newest state
// when it reads again, or is cut off after Config.Idle and resumes by cursor.
const sendBuffer = 128 << 10

func boundSendBuffer(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer) // the kernel's own bound holds then
	}
}
