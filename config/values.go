package config

import (
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Secret is a text that shows itself to nobody but who asks with Reveal: not
// in logs, not in errors, not in JSON. The zero value is no secret at all.
type Secret struct {
	value *string // a pointer, so that even %#v of a struct around it shows an address
}

// NewSecret returns a Secret that holds a text; "" makes the zero value.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{value: &text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.value != nil }

// String returns "[redacted]", or "" where nothing is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return "[redacted]"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue is String, for package slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// EnvDecode takes a text as it is.
func (s *Secret) EnvDecode(text string) error {
	*s = NewSecret(text)
	return nil
}

// Bytes is a number of bytes, written like 512MiB (powers of 1024), 10GB
// (powers of 1000) or 4096.
type Bytes int64

// Units of Bytes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// units are in the order in which String tries them.
var units = []struct {
	name  string
	bytes Bytes
}{
	{"TiB", TiB}, {"TB", 1e12}, {"GiB", GiB}, {"GB", 1e9},
	{"MiB", MiB}, {"MB", 1e6}, {"KiB", KiB}, {"KB", 1e3}, {"B", 1},
}

// String writes the number in the largest unit that needs no fraction.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.bytes == 0 {
			return strconv.FormatInt(int64(b/u.bytes), 10) + u.name
		}
	}
	return "0B"
}

// EnvDecode reads what String writes, and a bare number, in any case.
func (b *Bytes) EnvDecode(text string) error {
	const form = formError("a size like 512MiB, 10GB or a number of bytes")
	digits, unit := text, Bytes(1)
	for _, u := range units {
		if cut := len(text) - len(u.name); cut > 0 && strings.EqualFold(text[cut:], u.name) {
			digits, unit = text[:cut], u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/unit) {
		return form
	}
	*b = Bytes(n) * unit
	return nil
}

// A Level is the least level that is logged.
type Level = slog.Level

// Lanes are the lanes that a worker serves, the words of package job.
type Lanes []string

// EnvDecode reads lanes separated by commas.
func (l *Lanes) EnvDecode(text string) error {
	const form = formError("io, cpu or io,cpu")
	var lanes Lanes
	for _, lane := range split(text) {
		if lane != "io" && lane != "cpu" || slices.Contains(lanes, lane) {
			return form
		}
		lanes = append(lanes, lane)
	}
	if len(lanes) == 0 {
		return form
	}
	*l = lanes
	return nil
}

// Origins are origins of web pages (RFC 6454), like https://app.example.com.
type Origins []string

// originHost is how a browser writes an origin's host: in lower case, a name in
// ASCII (punycode), an IPv6 address in brackets. What is written otherwise never matches.
var originHost = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$`)

// EnvDecode reads origins separated by commas.
func (o *Origins) EnvDecode(text string) error {
	const form = formError("origins as browsers write them, like https://app.example.com or http://localhost:3000, separated by commas: " +
		"each by itself (there are no wildcards), in lower case, without a path and without the scheme's own port")
	var origins Origins
	for _, origin := range split(text) {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return form
		}
		host, port := u.Host, u.Port()
		if port != "" {
			host = strings.TrimSuffix(host, ":"+port)
		}
		if !originHost.MatchString(host) || port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
			return form
		}
		if port != "" && strconv.Itoa(portNumber(port)) != port {
			return form
		}
		origins = append(origins, origin)
	}
	*o = origins
	return nil
}

// portNumber returns a port, or -1.
func portNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return -1
	}
	return int(n)
}

// Proxies are the networks of trusted proxies.
type Proxies []netip.Prefix

// EnvDecode reads addresses and networks separated by commas.
func (p *Proxies) EnvDecode(text string) error {
	const form = formError("addresses like 10.0.0.7 or networks like 10.0.0.0/8, separated by commas")
	var proxies Proxies
	for _, s := range split(text) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return form
			}
			prefix = netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen())
		}
		proxies = append(proxies, prefix.Masked())
	}
	*p = proxies
	return nil
}

// Allow is a list of places that callbacks may go to.
type Allow []string

var placeForm = regexp.MustCompile(`^(?i)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)

// EnvDecode reads networks, addresses, hosts and host:port, separated by commas.
func (a *Allow) EnvDecode(text string) error {
	const form = formError("networks like 10.0.0.0/8, addresses, hosts or host:port, separated by commas")
	var allow Allow
	for _, s := range split(text) {
		_, notPrefix := netip.ParsePrefix(s)
		_, notAddr := netip.ParseAddr(s)
		if notPrefix != nil && notAddr != nil {
			host, port, err := net.SplitHostPort(s)
			if err != nil {
				host, port = s, "1"
			}
			_, notAddr := netip.ParseAddr(host)
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || notAddr != nil && !placeForm.MatchString(host) {
				return form
			}
		}
		allow = append(allow, s)
	}
	*a = allow
	return nil
}

// Ports is a list of ports.
type Ports []uint16

// EnvDecode reads numbers, separated by commas.
func (p *Ports) EnvDecode(text string) error {
	var ports Ports
	for _, s := range split(text) {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return formError("ports from 1 to 65535, separated by commas")
		}
		ports = append(ports, uint16(n))
	}
	*p = ports
	return nil
}

// split cuts a list at its commas; space around the elements doesn't count.
func split(text string) []string {
	var list []string
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}
