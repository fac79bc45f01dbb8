package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrAddress says that an address is not one of the public internet, and that
// no setting allows it.
var ErrAddress = errors.New("address is not allowed")

// refused are the networks that are not the public internet's, or that carry
// addresses of others within their own (IANA's registries of special-purpose
// addresses). IPv6 outside 2000::/3 is refused as a whole.
var refused = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by carriers; some clouds' metadata
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's virtual host
	"169.254.0.0/16",   // link-local; most clouds' metadata
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; Oracle's metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
	"2001::/23",        // protocol assignments: Teredo, ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4
	"3fff::/20",        // documentation
)

// global is what of IPv6 is given to the public internet. Beyond it lie loopback,
// mapped and NAT64 (64:ff9b::/96, 64:ff9b:1::/48), private, link-local, multicast.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// public reports whether an address is one of the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.Is6() && !global.Contains(a) {
		return false
	}
	return !within(refused, a)
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// A guard dials public addresses, and those that are allowed by name.
type guard struct {
	nets  []netip.Prefix
	hosts map[string]bool // "host" and "host:port", lower case
}

var hostForm = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)

// newGuard reads what is allowed beyond public addresses: networks
// (10.0.0.0/8), addresses, hosts, and both with a port.
func newGuard(allow []string) (*guard, error) {
	g := &guard{hosts: map[string]bool{}}
	for _, text := range allow {
		if p, err := netip.ParsePrefix(text); err == nil {
			if p.Addr().Is4In6() {
				if p.Bits() < 96 {
					return nil, fmt.Errorf("%q is not a network", text)
				}
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			g.nets = append(g.nets, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			g.nets = append(g.nets, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			host, port = text, ""
		}
		host = hostName(host)
		_, notAddr := netip.ParseAddr(host)
		_, notPort := strconv.ParseUint(port, 10, 16)
		if notAddr != nil && !hostForm.MatchString(host) || port != "" && notPort != nil {
			return nil, fmt.Errorf("%q is not a network, an address, a host or host:port", text)
		}
		if port != "" {
			host = net.JoinHostPort(host, port)
		}
		g.hosts[host] = true
	}
	return g, nil
}

// hostName brings a host into the form in which it is compared.
func hostName(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// dial connects to host:port. The address is looked at when the name has been
// resolved and the socket is about to be connected, so a name that resolves to
// something else the second time gains nothing.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host = hostName(host); !g.hosts[host] && !g.hosts[net.JoinHostPort(host, port)] {
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error { return g.check(address) }
	}
	return dialer.DialContext(ctx, network, address)
}

// check says whether ip:port may be connected to.
func (g *guard) check(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: no address", ErrAddress)
	}
	if a := to.Addr(); !public(a) && !within(g.nets, a.Unmap().WithZone("")) {
		return fmt.Errorf("%w: %s", ErrAddress, a)
	}
	return nil
}
