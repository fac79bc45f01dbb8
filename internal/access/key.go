package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// An API key is written ls_<id>_<secret><crc>: 12, 43 and 6 characters of base62. The
// last are the CRC-32 of all before them, so that a scanner for leaked secrets, and we,
// tell one from a text that only looks like one. The secret is 256 random bits.
const (
	keyPrefix = "ls_"
	idLen     = 12
	secretLen = 43
	crcLen    = 6
	keyLen    = len(keyPrefix) + idLen + 1 + secretLen + crcLen
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// drawText returns random characters of base62, each as likely as any other.
func drawText(n int) string {
	text, random := make([]byte, 0, n), make([]byte, 2*n)
	for {
		_, _ = rand.Read(random) // never fails
		for _, b := range random {
			if b < 4*62 {
				if text = append(text, base62[b%62]); len(text) == n {
					return string(text)
				}
			}
		}
	}
}

func checksum(text string) string {
	n := crc32.ChecksumIEEE([]byte(text))
	out := make([]byte, crcLen)
	for i := range slices.Backward(out) {
		out[i] = base62[n%62]
		n /= 62
	}
	return string(out)
}

// DrawID returns a new id of a key or a token.
func DrawID() string { return drawText(idLen) }

// DrawKey returns a new key of this id.
func DrawKey(id string) string {
	text := keyPrefix + id + "_" + drawText(secretLen)
	return text + checksum(text)
}

// ParseKey returns the id of a text that is written as a key.
func ParseKey(text string) (id string, ok bool) {
	if len(text) != keyLen || !strings.HasPrefix(text, keyPrefix) || text[len(keyPrefix)+idLen] != '_' {
		return "", false
	}
	body := text[:keyLen-crcLen]
	id = text[len(keyPrefix) : len(keyPrefix)+idLen]
	return id, ValidID(id) && isBase62(body[len(keyPrefix)+idLen+1:]) &&
		checksum(body) == text[keyLen-crcLen:]
}

// ValidID reports whether a text may be the id of a key.
func ValidID(id string) bool { return len(id) == idLen && isBase62(id) }

func isBase62(text string) bool { return strings.Trim(text, base62) == "" }

// LooksLikeKey reports whether a text means to be a key.
func LooksLikeKey(text string) bool { return strings.HasPrefix(text, keyPrefix) }

// Hash is what is kept of a secret, which is random: so no slow hash is needed.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// A Rate is how many requests may come in a while, Burst of them at once.
type Rate struct {
	N     int           `json:"n"`
	Per   time.Duration `json:"per"`
	Burst int           `json:"burst"`
}

// Gap is the time that one request makes up for.
func (r Rate) Gap() time.Duration { return r.Per / time.Duration(max(r.N, 1)) }

// Check says what is wrong with a rate, "" = nothing.
func (r Rate) Check() string {
	switch {
	case r == Rate{}:
		return ""
	case r.N < 1 || r.N > 1_000_000 || r.Per < time.Second || r.Per > 24*time.Hour || r.Burst < 1 ||
		r.Burst > 1_000_000:
		return "expected n and burst from 1 to 1000000, per from 1s to 24h"
	case r.Gap() < time.Microsecond:
		return "expected at most 1000000 a second"
	}
	return ""
}

// A Quota is what a principal with a rate may still do.
type Quota struct {
	Rate  Rate // the zero value: there is none
	Left  int
	Reset time.Duration
	Wait  time.Duration // over 0: this request is too much; come back after this
}

// A Key is what is kept of an API key. Its secret is not.
type Key struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Tenant    string    `json:"tenant"`
	Subject   string    `json:"subject,omitempty"`
	Scopes    []string  `json:"scopes"`
	Types     []string  `json:"types,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
	Rate      Rate      `json:"rate,omitzero"`
	CreatedBy string    `json:"created_by"`
	Created   time.Time `json:"created"`

	Hash string `json:"hash"` // of the secret
	// Old is the hash of the secret before, which is good until OldEnds.
	Old     string    `json:"old,omitempty"`
	OldEnds time.Time `json:"old_ends,omitzero"`
	// Age counts what ended the tokens that the key has made: rotations that keep nothing.
	Age int `json:"age,omitempty"`
}

// Limits of a key.
const (
	MaxName  = 100                 // characters
	MaxGlobs = 32                  // patterns of types
	MaxKeep  = 30 * 24 * time.Hour // of the old secret
)

// An InvalidError says what is wrong with what was to be made.
type InvalidError struct {
	Pointer string // JSON Pointer
	Detail  string // for the client to read
}

func (e *InvalidError) Error() string { return e.Pointer + ": " + e.Detail }

// Check refuses what no key may be, by an *InvalidError.
func (k *Key) Check(now time.Time) error {
	if pointer, detail := k.wrong(now); detail != "" {
		return &InvalidError{pointer, detail}
	}
	return nil
}

func (k *Key) wrong(now time.Time) (pointer, detail string) {
	if n := utf8.RuneCountInString(k.Name); n == 0 || n > MaxName || !utf8.ValidString(k.Name) ||
		plain(k.Name) != k.Name {
		return "/name", fmt.Sprintf("expected 1 to %d characters that can be shown", MaxName)
	}
	if k.Tenant != Installation && !ValidTenant(k.Tenant) {
		return "/tenant", "expected a name of at most 48 letters, digits and . _ -, or *"
	}
	if k.Subject != "" && (k.Tenant == Installation || !ValidSubject(k.Subject)) {
		return "/subject", fmt.Sprintf(
			"expected at most %d bytes that can be shown, in a tenant other than *",
			MaxSubject)
	}
	if len(k.Scopes) == 0 {
		return "/scopes", "expected at least one of " + strings.Join(scopeNames, ", ")
	}
	scopes, err := ParseScopes(k.Scopes)
	if err != nil {
		return "/scopes", err.Error()
	}
	if scopes&FunctionsDeploy != 0 && k.Tenant != Installation {
		return "/scopes", "functions:deploy is for tenant * only: types are everybody's"
	}
	if len(k.Types) > MaxGlobs {
		return "/types", fmt.Sprintf("expected at most %d", MaxGlobs)
	}
	for _, glob := range k.Types {
		if why := CheckGlob(glob); why != "" {
			return "/types", why
		}
	}
	if !k.Expires.IsZero() && !k.Expires.After(now) {
		return "/expires_at", "expected a time to come"
	}
	if why := k.Rate.Check(); why != "" {
		return "/rate", why
	}
	return "", ""
}

// plain is text without what steers a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e ||
			r >= 0x2066 && r <= 0x2069 || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
}

// unknownHash is compared with where there is no key, which takes as long. Nothing that is
// known has it.
var unknownHash = strings.Repeat("0", 64)

// Fits reports whether a text is the key, at this time. k may be nil.
func (k *Key) Fits(text string, now time.Time) bool {
	sum, current, old := Hash(text), unknownHash, unknownHash
	if k != nil {
		current = k.Hash
		if k.Old != "" && now.Before(k.OldEnds) {
			old = k.Old
		}
	}
	fits := subtle.ConstantTimeCompare([]byte(sum), []byte(current)) | subtle.ConstantTimeCompare([]byte(sum),
		[]byte(old))
	return fits == 1 && k != nil
}

// Principal returns who has the key's secret of this hash.
func (k *Key) Principal(hash string) *Principal {
	scopes, _ := ParseScopes(k.Scopes) // checked when it was made
	p := &Principal{Kind: KindKey, ID: k.ID, Tenant: k.Tenant, Subject: k.Subject, Scopes: scopes | Known,
		Expires: k.Expires, Rate: k.Rate, Age: k.Age}
	p.Types = k.globs()
	if hash != k.Hash && (p.Expires.IsZero() || k.OldEnds.Before(p.Expires)) {
		p.Expires = k.OldEnds
	}
	return p
}

// globs are nil where all types may be submitted.
func (k *Key) globs() []string {
	if len(k.Types) == 0 {
		return nil
	}
	return k.Types
}

// ErrBeyond says that a credential was to have more than its maker.
var ErrBeyond = errors.New("beyond its maker")

// Within checks that a key has no more than who makes it.
func (k *Key) Within(maker *Principal) error {
	scopes, err := ParseScopes(k.Scopes)
	switch {
	case err != nil:
		return err
	case k.Tenant != maker.Tenant && maker.Tenant != Installation:
		return fmt.Errorf("%w: its tenant", ErrBeyond)
	case maker.View().Subject != "" && (k.Subject != maker.Subject || scopes&JobsAll != 0):
		return fmt.Errorf("%w: its subject", ErrBeyond)
	case scopes&^maker.Scopes.Full() != 0:
		return fmt.Errorf("%w: %s", ErrBeyond, scopes&^maker.Scopes.Full())
	case !maker.Covers(k.globs()):
		return fmt.Errorf("%w: its types", ErrBeyond)
	case maker.Session == nil && !maker.Expires.IsZero() && // a person is there after a session
		(k.Expires.IsZero() || k.Expires.After(maker.Expires)):
		return fmt.Errorf("%w: its end", ErrBeyond)
	case maker.Rate != Rate{} && (k.Rate == Rate{} || perSecond(k.Rate) > perSecond(maker.Rate) ||
		k.Rate.Burst > maker.Rate.Burst):
		return fmt.Errorf("%w: its rate", ErrBeyond)
	}
	return nil
}

func perSecond(r Rate) float64 {
	if r.Per <= 0 {
		return math.Inf(1)
	}
	return float64(r.N) / r.Per.Seconds()
}

// tokenBegin is how each page's token begins: base64url of {"alg":"HS256","kid":"ls
const tokenBegin = "eyJhbGciOiJIUzI1NiIsImtpZCI6Imxz"

// LooksLikeToken reports whether a text means to be a page's token of ours.
func LooksLikeToken(text string) bool { return strings.HasPrefix(text, tokenBegin) }
