package edge

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are those whose X-Forwarded-For is believed.
type proxies []netip.Prefix

// client is whom a request comes from: the peer, or where
// that is a trusted proxy the last address in X-Forwarded-For that is none.
// What stands before it in that header anybody may have written.
func (p proxies) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap()
	if !p.trust(address) {
		return address
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(chain) {
		if !p.trust(address) {
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

func (p proxies) trust(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(net netip.Prefix) bool { return net.Contains(address) })
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

// clientPrefix is what counts as one client: an IPv4 address, or the /64 that
// one subscriber of IPv6 has at least.
func clientPrefix(client netip.Addr) netip.Addr {
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
