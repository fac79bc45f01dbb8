package webhook

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/jobstore"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		// The public internet.
		"1.1.1.1": true, "93.184.216.34": true, "::ffff:93.184.216.34": true, "172.15.0.1": true,
		"172.32.0.1": true,
		"100.63.0.1": true, "100.128.0.1": true, "2606:4700::1111": true, "2a00:1450:4001::1": true,
		"168.63.129.17": true,
		// Private, shared, loopback, link-local, unspecified, multicast, broadcast.
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"100.64.0.1":      false,
		"100.127.255.255": false, "127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false,
		"0.1.2.3": false, "224.0.0.1": false, "239.1.1.1": false, "240.0.0.1": false,
		"255.255.255.255": false, "::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "fd12::1": false, "fec0::1": false, "ff02::1": false,
		// Metadata of clouds.
		"169.254.169.254": false, "fd00:ec2::254": false, "100.100.100.200": false, "192.0.0.192": false,
		"168.63.129.16": false,
		// IPv4 within IPv6: mapped, compatible, NAT64, 6to4, Teredo.
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
		"::7f00:1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b::808:808": false,
		"64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "2001:0:7f00:1::": false,
		// Documentation, benchmarks, discard.
		"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false,
		"198.19.255.255": false,
		"2001:db8::1":    false, "3fff::1": false, "100::1": false, "192.88.99.1": false, "2001:10::1": false,
		"5f00::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %v", text, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestGuardDials connects to a listener on loopback by several names.
func TestGuardDials(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		allow []string
		host  string
		ok    bool
	}{
		{nil, "127.0.0.1", false},
		{nil, "localhost", false}, // a name that resolves to a refused address
		{nil, "::ffff:127.0.0.1", false},
		{nil, "0.0.0.0", false},
		{[]string{"10.0.0.0/8", "example.com"}, "127.0.0.1", false},
		{[]string{"127.0.0.0/8"}, "127.0.0.1", true},
		{[]string{"127.0.0.0/8"}, "localhost", true},
		{[]string{"127.0.0.0/8"}, "::ffff:127.0.0.1", true},
		{[]string{"::ffff:127.0.0.0/104"}, "127.0.0.1", true},
		{[]string{"127.0.0.1"}, "127.0.0.1", true},
		{[]string{"127.0.0.2"}, "127.0.0.1", false},
		{[]string{"localhost"}, "localhost", true},
		{[]string{"LocalHost."}, "LOCALHOST", true},
		{[]string{"localhost"}, "127.0.0.1", false}, // the name is allowed, not where it leads
		{[]string{"localhost:" + port}, "localhost", true},
		{[]string{"localhost:1"}, "localhost", false},
		{[]string{"127.0.0.1:" + port}, "127.0.0.1", true},
		{[]string{"127.0.0.1:" + port}, "::ffff:127.0.0.1", true},
		{[]string{"127.0.0.1:1"}, "127.0.0.1", false},
	} {
		g, err := newGuard(tt.allow)
		if err != nil {
			t.Fatalf("%v: %v", tt.allow, err)
		}
		conn, err := g.dial(t.Context(), "tcp", net.JoinHostPort(tt.host, port))
		if err == nil {
			conn.Close()
		}
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrAddress) {
			t.Errorf("allow %v, dial %s: %v", tt.allow, tt.host, err)
		}
	}
}

// TestGuardChecksSockets holds that what is checked is the address of a socket
// and never a name, which may resolve to something else the next time.
func TestGuardChecksSockets(t *testing.T) {
	t.Parallel()
	g, err := newGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:80", "[::1]:80", "[fe80::1%lo]:80", "localhost:80", ""} {
		if err := g.check(address); !errors.Is(err, ErrAddress) {
			t.Errorf("check(%q) = %v", address, err)
		}
	}
	if err := g.check("1.1.1.1:443"); err != nil {
		t.Error(err)
	}
}

func TestGuardRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "http://h", "10.0.0.0/33", "a b", "*.example.com", "::ffff:0.0.0.0/8",
		"h/x"} {
		if _, err := newGuard([]string{text}); err == nil {
			t.Errorf("%q is fine", text)
		}
	}
}

// FuzzPublic holds that nothing is public that the standard library knows to be
// special, in whatever form it is written, and that a guard agrees.
func FuzzPublic(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "::1", "::ffff:10.1.2.3", "64:ff9b::7f00:1", "2002:7f00:1::",
		"8.8.8.8", "2606:4700::1"} {
		a := netip.MustParseAddr(text)
		b := a.As16()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		plain := a.Unmap()
		if public(a) != public(plain) {
			t.Fatalf("%s and %s differ", a, plain)
		}
		special := plain.IsPrivate() || plain.IsLoopback() || plain.IsLinkLocalUnicast() ||
			plain.IsMulticast() ||
			plain.IsUnspecified() || !plain.IsGlobalUnicast()
		if special && public(a) {
			t.Fatalf("%s is public", a)
		}
		if plain.Is6() && public(a) {
			// Nothing that is public carries the address of a machine near us in its first or last bytes as a
			// tunnel does.
			b := plain.As16()
			if b[0] == 0x20 && (b[1] == 0x02 || b[1] == 0x01 && b[2] == 0 && b[3] == 0) || b[0] == 0 {
				t.Fatalf("tunnel %s is public", a)
			}
		}
		g, _ := newGuard(nil)
		if err := g.check(netip.AddrPortFrom(a, 443).String()); (err == nil) != public(a) {
			t.Fatalf("%s: %v", a, err)
		}
	})
}

// FuzzAllow holds that no setting makes the guard panic, and that what it reads
// as one host allows no address.
func FuzzAllow(f *testing.F) {
	for _, text := range []string{"10.0.0.0/8", "::1", "h:80", "[::1]:80", "localhost",
		"::ffff:1.2.3.4/100"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := newGuard([]string{text})
		if err != nil {
			return
		}
		if len(g.nets)+len(g.hosts) != 1 {
			t.Fatalf("%q became %v and %v", text, g.nets, g.hosts)
		}
		if len(g.hosts) == 1 && g.check("127.0.0.1:80") == nil {
			t.Fatalf("%q allows loopback", text)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if conn, err := g.dial(ctx, "tcp", text); err == nil {
			conn.Close()
		}
	})
}

// TestOneCode holds that from outside a name that nobody has, one that leads to
// a private address, a private address and a barred port look alike, and that each
// ends at the first attempt.
func TestOneCode(t *testing.T) {
	t.Parallel()
	private, open := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("1.1.1.1")
	s, err := NewSender(Config{Secrets: []string{secretA}, Allow: []string{"cache.internal:6379"},
		Ports: []uint16{8086}, Resolver: names{
			"private.example": {private}, "open.example": {open, private}, "empty.example": nil,
			"cache.internal": {private}, "four.example": {open, open, open, open,
				netip.MustParseAddr("2606:4700::1111")},
		}})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]int{
		"http://nobody.example/": 0, "http://private.example/": 0, "http://10.0.0.7/": 0,
		"http://empty.example/": 0,
		"http://127.1/":         0, "http://0x7f.1/": 0, "http://localhost/": 0, "http://[::1]/": 0,
		"http://open.example:25/": 0, "http://open.example:025/": 0, "https://1.1.1.1:6379/": 0,
		"http://nobody.example:22/":   0,
		"http://cache.internal:6380/": 0, "http://cache.internal/": 0,
		"http://open.example/": 1, "http://open.example:8086/": 1, "http://cache.internal:6379/": 1,
		"http://four.example/": 2,
	} {
		at, r := s.Find(t.Context(), to)
		switch {
		case len(at) != want, want == 0 && r.Code != CodeAddress, want > 0 && r.Code != "":
			t.Errorf("%s: %v, %+v", to, at, r)
		case want == 0 && settle(jobstore.CallbackClaim{}, r).Outcome != jobstore.CallbackFailed:
			t.Errorf("%s is tried again", to)
		}
	}
}

// TestLookupMayFail holds that a resolver that is out of order ends nothing.
func TestLookupMayFail(t *testing.T) {
	t.Parallel()
	for _, failure := range []*net.DNSError{{Err: "server misbehaving", IsTemporary: true},
		{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}} {
		s, err := NewSender(Config{Secrets: []string{secretA}, Resolver: broken{failure}})
		if err != nil {
			t.Fatal(err)
		}
		_, r := s.Find(t.Context(), "http://a.example/")
		if r.Code != CodeDNS || settle(jobstore.CallbackClaim{}, r).Outcome != jobstore.CallbackRetry {
			t.Errorf("%v: %+v", failure, r)
		}
	}
}

type broken struct{ err error }

func (b broken) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return nil, b.err }

// TestRace holds that a dead address delays a living one a little only.
func TestRace(t *testing.T) {
	t.Parallel()
	dead, alive := netip.MustParseAddr("2606:4700::1111"), netip.MustParseAddr("1.1.1.1")
	for name, refuses := range map[string]bool{"silent": false, "refuses": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				conn, err := race(t.Context(), []netip.Addr{dead, alive},
					func(ctx context.Context, a netip.Addr) (net.Conn, error) {
						if a == alive {
							ours, theirs := net.Pipe()
							theirs.Close()
							return ours, nil
						}
						if !refuses {
							<-ctx.Done()
						}
						return nil, errors.New("dead")
					})
				if err != nil || time.Since(began) > 20*time.Second {
					t.Fatalf("%v after %v", err, time.Since(began))
				}
				conn.Close()
			})
		})
	}
	if _, err := race(t.Context(), []netip.Addr{dead, alive}, func(context.Context, netip.Addr) (net.Conn,
		error) {
		return nil, errDown
	}); !errors.Is(err, errDown) {
		t.Errorf("both dead: %v", err)
	}
}
