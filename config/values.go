package config

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"longshore/internal/bytesize"
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

// String writes the number in the largest unit that needs no fraction.
func (b Bytes) String() string { return bytesize.Format(int64(b)) }

// EnvDecode reads what String writes, and a bare number, in any case.
func (b *Bytes) EnvDecode(text string) error {
	if text == "" {
		return nil // not set, and 0 by default
	}
	n, err := bytesize.Parse(text)
	if err != nil {
		return formError("a size like 512MiB, 10GB or a number of bytes")
	}
	*b = Bytes(n)
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

// Queues are the queues that a worker serves, as job.ParseShare reads each: mailers, mailers=3, mailers!.
type Queues []string

var queueShare = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*)(=([1-9][0-9]{0,2}|1000)|!)?$`)

// EnvDecode reads queues separated by commas. None are all.
func (q *Queues) EnvDecode(text string) error {
	const form = formError("queues separated by commas, each once, with a weight from 1 to 1000 or a ! behind: " +
		"default,mailers=3 or mailers!,default; names are of a-z, 0-9 and dashes, at most 32")
	var queues Queues
	seen := map[string]bool{}
	for _, share := range split(text) {
		m := queueShare.FindStringSubmatch(share)
		if m == nil || len(m[1]) > 32 || seen[m[1]] {
			return form
		}
		seen[m[1]] = true
		queues = append(queues, share)
	}
	if len(queues) == 0 && text != "" {
		return form
	}
	*q = queues
	return nil
}

// Origins are origins of web pages (RFC 6454), like https://app.example.com.
type Origins []string

// originHost is how a browser writes an origin's host: in lower case, a name in
// ASCII (punycode), an IPv6 address in brackets. What is written otherwise never matches.
var originHost = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$`)

// EnvDecode reads origins separated by commas.
func (o *Origins) EnvDecode(text string) error {
	const form = formError(
		"origins as browsers write them, like https://app.example.com or http://localhost:3000, separated by commas: " +
			"each by itself (or * alone, for all; there are no other wildcards), in lower case, without a path and without the scheme's own port")
	var origins Origins
	for _, origin := range split(text) {
		if origin == "*" && len(split(text)) == 1 {
			origins = append(origins, origin)
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			u.Scheme+"://"+u.Host != origin {
			return form
		}
		host, port := u.Host, u.Port()
		if port != "" {
			host = strings.TrimSuffix(host, ":"+port)
		}
		if !originHost.MatchString(host) ||
			port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
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

// Words is a list of texts.
type Words []string

// EnvDecode reads texts separated by commas.
func (w *Words) EnvDecode(text string) error {
	if *w = split(text); len(*w) == 0 && text != "" {
		return formError("words separated by commas")
	}
	return nil
}

// A ScopeMap says which of our scopes each of another issuer's gives.
type ScopeMap map[string][]string

// EnvDecode reads theirs=ours ours;other=ours.
func (s *ScopeMap) EnvDecode(text string) error {
	const form = formError("scopes as reader=jobs:read jobs:all;writer=jobs:submit")
	known := map[string]bool{"jobs:submit": true, "jobs:read": true, "jobs:cancel": true, "jobs:all": true,
		"jobs:logs": true, "jobs:release": true, "jobs:work": true, "numbers": true, "operate": true,
		"admin": true}
	if text == "" {
		return nil
	}
	all := ScopeMap{}
	for _, pair := range strings.Split(text, ";") {
		theirs, ours, ok := strings.Cut(strings.TrimSpace(pair), "=")
		scopes := strings.Fields(ours)
		if !ok || theirs == "" || len(scopes) == 0 || all[theirs] != nil {
			return form
		}
		for _, scope := range scopes {
			if !known[scope] {
				return form
			}
		}
		all[theirs] = scopes
	}
	*s = all
	return nil
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
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || notAddr != nil &&
				!placeForm.MatchString(host) {
				return form
			}
		}
		allow = append(allow, s)
	}
	*a = allow
	return nil
}

// An Address is a host and a port to listen on.
type Address string

// EnvDecode reads a port, or host:port; without a host it is this machine's own.
func (a *Address) EnvDecode(text string) error {
	if text == "" { // nothing is set
		return nil
	}
	const form = formError("a port like 9100, or an address like 127.0.0.1:9100 or 0.0.0.0:9100")
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = "", text
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if _, notAddr := netip.ParseAddr(host); err != nil || host != "" && host != "localhost" &&
		notAddr != nil {
		return form
	}
	if host == "" {
		host = "127.0.0.1"
	}
	*a = Address(net.JoinHostPort(host, strconv.FormatUint(n, 10)))
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

// A Deploy says what may be deployed.
type Deploy string

// What may be deployed.
const (
	DeployOff     Deploy = "off"
	DeployModules Deploy = "wasm"
	DeployAll     Deploy = "all"
)

// EnvDecode reads one of the words.
func (d *Deploy) EnvDecode(text string) error {
	switch Deploy(text) {
	case "": // as it is by default
		return nil
	case DeployOff, DeployModules, DeployAll:
		*d = Deploy(text)
		return nil
	}
	return formError("off, wasm or all")
}

// A Switch is on or off.
type Switch bool

// EnvDecode reads one of the words.
func (s *Switch) EnvDecode(text string) error {
	switch text {
	case "", "on", "off":
		*s = text == "on"
		return nil
	}
	return formError("on or off")
}

// String is the word.
func (s Switch) String() string {
	if s {
		return "on"
	}
	return "off"
}

// Names are names of variables.
type Names []string

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// EnvDecode reads names separated by commas.
func (n *Names) EnvDecode(text string) error {
	var names Names
	for _, name := range split(text) {
		if !nameForm.MatchString(name) || strings.HasPrefix(name, "LONGSHORE_") {
			return formError("names of variables, separated by commas, none that begins with LONGSHORE_")
		}
		names = append(names, name)
	}
	*n = names
	return nil
}
