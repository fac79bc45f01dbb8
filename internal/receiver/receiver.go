// Package receiver has the words of who gets callbacks: where one is, in one spelling, and the secrets
// by which it verifies them, which are derived from a key of ours. Whoever signs has them from here,
// and so has the command line that prints them.
package receiver

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// MinKey is how many bytes a key from which secrets are derived has at least.
const MinKey = 32

// ErrShortKey says that a key has too few bytes.
var ErrShortKey = errors.New("a webhook key has at least 32 bytes")

// A Receiver is whom secrets are derived for.
type Receiver struct {
	Tenant string // "" = the only one, named default
	Origin string // as OriginOf writes it
	Number int    // of the secret, from 1; another number is another secret. 0 = 1
}

// Credentials are what one receiver has to verify with: either will do.
type Credentials struct {
	Secret    []byte            // of HMAC-SHA256, signature v1
	PublicKey ed25519.PublicKey // signature v1a
	private   ed25519.PrivateKey
}

// SecretText is the secret as libraries of Standard Webhooks take it.
func (c Credentials) SecretText() string {
	return "whsec_" + base64.StdEncoding.EncodeToString(c.Secret)
}

// PublicKeyText is the public key as libraries of Standard Webhooks take it.
func (c Credentials) PublicKeyText() string {
	return "whpk_" + base64.StdEncoding.EncodeToString(c.PublicKey)
}

// Sign makes signature v1a of a message.
func (c Credentials) Sign(message []byte) []byte { return ed25519.Sign(c.private, message) }

// Derive makes a receiver's credentials of a key of ours (HKDF-SHA256, RFC 5869). Who
// knows them can neither find the key nor another receiver's.
func Derive(key string, r Receiver) (Credentials, error) {
	if len(key) < MinKey {
		return Credentials{}, ErrShortKey
	}
	about := cmp.Or(r.Tenant, "default") + "\x00" + r.Origin + "\x00" + strconv.Itoa(cmp.Or(r.Number, 1))
	secret, err1 := hkdf.Key(sha256.New, []byte(key), nil, "longshore callback v1\x00"+about, 32)
	seed, err2 := hkdf.Key(sha256.New, []byte(key), nil, "longshore callback v1a\x00"+about, ed25519.SeedSize)
	if err := errors.Join(err1, err2); err != nil {
		return Credentials{}, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	return Credentials{Secret: secret, PublicKey: private.Public().(ed25519.PublicKey), private: private}, nil
}

// OriginOf is the scheme, host and port that a URL names, in one spelling; the port
// that the scheme implies is left out.
func OriginOf(u *url.URL) string {
	host, port := Host(u.Hostname()), Port(u)
	scheme := strings.ToLower(u.Scheme)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// Host is a URL's host as it is looked up.
func Host(host string) string {
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	return HostName(host)
}

// Port is a URL's port, its scheme's if it names none.
func Port(u *url.URL) string {
	switch port := u.Port(); {
	case port == "" && u.Scheme == "https":
		return "443"
	case port == "":
		return "80"
	default:
		return strings.TrimLeft(port[:len(port)-1], "0") + port[len(port)-1:] // one spelling
	}
}

// HostName brings a host into the form in which it is compared.
func HostName(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
