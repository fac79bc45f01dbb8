package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"longshore/internal/receiver"
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

// barred are ports behind which no receiver of webhooks is, but servers that would
// take a request for something else, or must not hear from strangers: those that
// browsers bar too, and those of databases, queues and machines' own control.
var barred = portSet(
	"1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 " +
		"119 123 135 137 138 139 143 161 179 389 427 445 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 " +
		"873 989 990 993 995 1080 1433 1521 1719 1720 1723 2049 2181 2375 2376 2379 2380 3128 3306 3389 3659 4045 4190 4369 " +
		"5060 5061 5432 5672 5900 5984 6000 6379 6380 6566 6665 6666 6667 6668 6669 6679 6697 8086 9042 9092 9200 9300 10080 " +
		"10250 11211 15672 26379 27017 27018")

func portSet(list string) map[string]bool {
	set := map[string]bool{}
	for port := range strings.FieldsSeq(list) {
		set[port] = true
	}
	return set
}

// A Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A guard finds and dials public addresses, and those that are allowed by name.
type guard struct {
	resolver Resolver
	nets     []netip.Prefix
	hosts    map[string]bool // "host" and "host:port", lower case
	ports    map[string]bool // of the barred ones
}

var hostForm = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)

// newGuard reads what is allowed beyond public addresses: networks
// (10.0.0.0/8), addresses, hosts, and both with a port; and barred ports.
func newGuard(allow []string, ports ...uint16) (*guard, error) {
	g := &guard{resolver: net.DefaultResolver, hosts: map[string]bool{}, ports: map[string]bool{}}
	for _, port := range ports {
		g.ports[strconv.Itoa(int(port))] = true
	}
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
		host = receiver.HostName(host)
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

// named reports whether a place is allowed by its name, wherever that leads.
func (g *guard) named(host, port string) bool {
	return g.hosts[host] || g.hosts[net.JoinHostPort(host, port)]
}

// maxAddresses of a name are tried in one attempt: one of each family, if it has both.
const maxAddresses = 2

// find returns the addresses of host:port that may be connected to. ErrAddress says
// that there is none, and not why: a name that nobody has, one that leads to
// where nobody may go, and a port that is barred look alike from outside.
func (g *guard) find(ctx context.Context, host, port string) ([]netip.Addr, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10) // one spelling
	}
	host = receiver.HostName(host)
	if barred[port] && !g.ports[port] && !g.hosts[net.JoinHostPort(host, port)] {
		return nil, fmt.Errorf("%w: port %s is barred", ErrAddress, port)
	}
	all, err := g.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	if !g.named(host, port) {
		all = slices.DeleteFunc(all, func(a netip.Addr) bool { return !g.allows(a) })
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrAddress, host)
	}
	first := all[:1:1]
	other := slices.IndexFunc(all, func(a netip.Addr) bool { return a.Is4() != first[0].Is4() })
	if other < 0 && len(all) >= maxAddresses {
		other = 1
	}
	if other > 0 {
		first = append(first, all[other])
	}
	return first, nil
}

// addresses looks a host up. Only what may be otherwise in a while is an error but ErrAddress.
func (g *guard) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	all, err := g.resolver.LookupNetIP(ctx, "ip", host)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound && !dns.IsTemporary && !dns.IsTimeout {
		return nil, fmt.Errorf("%w: no such host", ErrAddress)
	}
	for i, a := range all {
		all[i] = a.Unmap()
	}
	return all, err
}

// found carries the addresses that find has found for a request to its dial.
type found struct{}

// dial connects to host:port, at the addresses that ctx has for it. Each is
// looked at once more when its socket is about to be connected, so a name that
// resolves to something else the second time gains nothing.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	list, _ := ctx.Value(found{}).([]netip.Addr)
	if len(list) == 0 {
		if list, err = g.find(ctx, host, port); err != nil {
			return nil, err
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	if !g.named(receiver.HostName(host), port) {
		dialer.ControlContext = func(_ context.Context, _, address string,
			_ syscall.RawConn) error {
			return g.check(address)
		}
	}
	return race(ctx, list, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
	})
}

// race dials the first address, and the next when that has failed or takes long
// (as RFC 8305 does). The first connection wins; of errors, the first.
func race(ctx context.Context, list []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn,
	error)) (net.Conn, error) {
	if len(list) == 1 {
		return dial(ctx, list[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	const headStart = 300 * time.Millisecond
	outcomes, ahead := make(chan outcome), make(chan struct{})
	for i, a := range list {
		go func() {
			if i > 0 {
				select {
				case <-ctx.Done():
				case <-ahead:
				case <-time.After(time.Duration(i) * headStart):
				}
			}
			conn, err := dial(ctx, a)
			if i == 0 && err != nil {
				close(ahead)
			}
			outcomes <- outcome{conn, err}
		}()
	}
	var won net.Conn
	var failed error
	for range list {
		o := <-outcomes
		switch {
		case o.err != nil:
			if failed == nil {
				failed = o.err
			}
		case won == nil:
			won = o.conn
			cancel()
		default:
			o.conn.Close()
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, failed
}

// allows reports whether an address may be connected to.
func (g *guard) allows(a netip.Addr) bool { return public(a) || within(g.nets, a.Unmap().WithZone("")) }

// check says whether ip:port may be connected to.
func (g *guard) check(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: no address", ErrAddress)
	}
	if a := to.Addr(); !g.allows(a) {
		return fmt.Errorf("%w: %s", ErrAddress, a)
	}
	return nil
}
