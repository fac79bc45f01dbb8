package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is whom a request comes from: the peer, or where
// that is a trusted proxy the last address in X-Forwarded-For that is none.
// What stands before it in that header anybody may have written.
func (s *Server) clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap()
	if !s.trusted(address) {
		return address
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(chain) {
		if !s.trusted(address) {
			break
		}
		next, ok := parseHop(strings.TrimSpace(text))
		if !ok {
			break
		}
		address = next
	}
	return address
}

func (s *Server) trusted(address netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// parseHop reads an address in X-Forwarded-For. Some proxies write the port too:
// 192.0.2.1:4711, [2001:db8::1]:4711. A zone is no part of whom an address belongs to.
func parseHop(text string) (netip.Addr, bool) {
	bare := text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		bare, _ = strings.CutSuffix(inner, "]")
	}
	address, err := netip.ParseAddr(bare)
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), true
}
