package edge

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// connections counts the connections that are open, so that those who only open
// some don't take all descriptors. WebSockets leave it: they count as waiters.
type connections struct {
	trusted func(netip.Addr) bool
	all     *Limiter
	each    *Limiter // by address, but for trusted proxies: theirs are many clients'
	in      sync.Map // net.Conn → netip.Addr, of those that were let in
}

// Limits of a connection. There is no total time limit for a request: an input
// of any size may come, as long as bytes move (Config.Idle).
const (
	headerTimeout    = 10 * time.Second // until a request's header is there
	keepAliveTimeout = 120 * time.Second
	// maxHeader is what a request's header may have in bytes. net/http answers
	// in plain text at its own limit, so that one lies higher.
	maxHeader = 16 << 10
)

// HTTPServer returns an http.Server for the edge.
func (e *Edge) HTTPServer() *http.Server {
	conns := &connections{trusted: e.proxies.trust, all: NewLimiter(e.MaxConnections, 0),
		each: NewLimiter(0, e.MaxConnectionsPerAddress)}
	return &http.Server{
		Handler:           e,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    4 * maxHeader,
		ConnContext:       withConn,
		ConnState:         conns.state,
		ErrorLog:          slog.NewLogLogger(e.Log.Handler(), slog.LevelDebug),
	}
}

// fullAnswer goes to who comes beyond the limit, before anything is read of it.
const fullAnswer = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Retry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// state is http.Server's ConnState.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		from := peer(conn)
		if !c.enter(from) {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // it fits into any socket's buffer
			_, _ = conn.Write([]byte(fullAnswer))                  // an error is the client's going
			conn.Close()
			return
		}
		c.in.Store(conn, from)
	case http.StateClosed, http.StateHijacked:
		if from, ok := c.in.LoadAndDelete(conn); ok {
			c.leave(from.(netip.Addr))
		}
	}
}

func (c *connections) enter(from netip.Addr) bool {
	if !c.all.Enter(from) {
		return false
	}
	if !c.trusted(from) && !c.each.Enter(from) {
		c.all.Leave(from)
		return false
	}
	return true
}

func (c *connections) leave(from netip.Addr) {
	c.all.Leave(from)
	if !c.trusted(from) {
		c.each.Leave(from)
	}
}

// peer is the other end of a connection; the zero address of a Unix socket.
func peer(conn net.Conn) netip.Addr {
	address, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap()
}

type connKey struct{}

// withConn lets handlers that stream for long get at their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// sendBuffer is how much may be on the way to a client that follows a stream, in
// bytes of its kernel buffer, which Linux makes twice as large: 256 KiB. We keep
// nothing beyond that for a client that does not read; it gets the newest state
// when it reads again, or is cut off after Config.Idle and resumes by cursor.
const sendBuffer = 128 << 10

// BoundSendBuffer is for the request of a stream that lasts.
func BoundSendBuffer(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer) // the kernel's own bound holds then
	}
}
