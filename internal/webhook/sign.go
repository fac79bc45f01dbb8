package webhook

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks.
const (
	headerID        = "webhook-id"        // the same for each attempt
	headerTimestamp = "webhook-timestamp" // of the attempt, in seconds
	headerSignature = "webhook-signature" // "v1,<base64>" and "v1a,<base64>", separated by spaces
)

// Limits of a secret, in bytes, by Standard Webhooks; and how many may sign at once.
const (
	minSecret  = 24
	maxSecret  = 64
	maxSecrets = 2
	minKey     = 32
)

// A signer signs with one secret or key, or with the new and the old one while
// receivers move from one to the other.
type signer struct {
	secrets [][]byte // of all receivers
	keys    [][]byte // from which each receiver's own are derived
}

// newSigner reads secrets of the form "whsec_<base64>", and keys. Its errors don't tell them.
func newSigner(secrets, keys []string) (signer, error) {
	var s signer
	if len(secrets) > maxSecrets || len(keys) > maxSecrets {
		return s, errors.New("more than two webhook secrets or keys")
	}
	if len(secrets)+len(keys) == 0 {
		return s, errors.New("no webhook secret")
	}
	for _, secret := range secrets {
		text, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return s, errors.New("a webhook secret is whsec_ and 24 to 64 bytes in base64")
		}
		s.secrets = append(s.secrets, key)
	}
	for _, key := range keys {
		if len(key) < minKey {
			return s, errors.New("a webhook key has at least 32 bytes")
		}
		s.keys = append(s.keys, []byte(key))
	}
	return s, nil
}

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

// Derive makes a receiver's credentials of a key of ours (HKDF-SHA256, RFC 5869). Who
// knows them can neither find the key nor another receiver's.
func Derive(key string, r Receiver) (Credentials, error) {
	if len(key) < minKey {
		return Credentials{}, errors.New("a webhook key has at least 32 bytes")
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
	host, port := asciiHost(u.Hostname()), portOf(u)
	scheme := strings.ToLower(u.Scheme)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// sign sets the three headers.
func (s signer) sign(h http.Header, to *url.URL, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	message := append([]byte(id+"."+timestamp+"."), body...)
	var signatures []string
	hash := func(secret []byte) {
		mac := hmac.New(sha256.New, secret)
		mac.Write(message)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	for _, secret := range s.secrets {
		hash(secret)
	}
	for _, key := range s.keys {
		c, err := Derive(string(key), Receiver{Origin: OriginOf(to)})
		if err != nil {
			continue // never: the key was checked
		}
		hash(c.Secret)
		signatures = append(signatures,
			"v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(c.private, message)))
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	if len(signatures) > 0 {
		h.Set(headerSignature, strings.Join(signatures, " "))
	}
}
