package web

import (
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
	all     *guests
	each    *guests  // by address, but for trusted proxies: theirs are many clients'
	in      sync.Map // net.Conn → netip.Addr, of those that were let in
}

// fullAnswer goes to who comes beyond the limit, before anything is read of it.
const fullAnswer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

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
	if !c.all.enter(from) {
		return false
	}
	if !c.trusted(from) && !c.each.enter(from) {
		c.all.leave(from)
		return false
	}
	return true
}

func (c *connections) leave(from netip.Addr) {
	c.all.leave(from)
	if !c.trusted(from) {
		c.each.leave(from)
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
