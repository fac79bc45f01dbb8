package edge

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		peer, want string
		forwarded  []string
	}{
		{"192.0.2.1:80", "192.0.2.1", nil},
		{"192.0.2.1:80", "192.0.2.1", []string{"198.51.100.7"}}, // no trusted proxy says so
		{"10.0.0.1:80", "10.0.0.1", nil},
		{"10.0.0.1:80", "198.51.100.7", []string{"198.51.100.7"}},
		{"10.0.0.1:80", "198.51.100.7", []string{"203.0.113.9, 198.51.100.7", "10.1.1.1"}},
		{"10.0.0.1:80", "10.1.1.1", []string{"forged\", 10.1.1.1"}},
		{"[::1]:80", "2001:db8::1", []string{"2001:db8::1"}},
		{"[::ffff:10.0.0.1]:80", "198.51.100.7", []string{"::ffff:198.51.100.7"}},
		{"10.0.0.1:80", "198.51.100.7", []string{"203.0.113.9:1, 198.51.100.7:61001"}},
		{"10.0.0.1:80", "198.51.100.7", []string{"198.51.100.7:61001, 10.1.1.1:80"}},
		{"10.0.0.1:80", "2001:db8::1", []string{"[2001:db8::1]:61001"}},
		{"10.0.0.1:80", "2001:db8::1", []string{"[2001:db8::1]"}},
		{"10.0.0.1:80", "fe80::1", []string{"fe80::1%eth0"}},
		{"10.0.0.1:80", "10.0.0.1", []string{"198.51.100.7:"}},
		{"10.0.0.1:80", "10.0.0.1", []string{"198.51.100.7:99999"}},
		{"10.0.0.1:80", "10.0.0.1", []string{"[2001:db8::1]x"}},
		{"10.0.0.1:80", "10.0.0.1", []string{"unknown"}},
		{"10.0.0.1:80", "10.0.0.1", []string{""}},
		{"@", "invalid IP", []string{"198.51.100.7"}}, // a Unix socket
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := trusted.client(r).String(); got != c.want {
			t.Errorf("peer %s, X-Forwarded-For %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}
