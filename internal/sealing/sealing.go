// Package sealing seals small texts by keys that are derived from secrets of the settings and are not
// where the texts are kept: whoever reads Redis, its dump or its log reads none of them. It knows no jobs
// and no people.
package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrKey says that a text was sealed by a key that isn't here.
var ErrKey = errors.New("the key that sealed it is not here")

// ErrBroken says that a text is none that was sealed for this purpose.
var ErrBroken = errors.New("it was not sealed so")

// A Sealer seals texts with AES-256-GCM. The first of its keys seals, all open. nil seals nothing.
type Sealer struct {
	first string
	keys  map[string]cipher.AEAD
	mac   []byte // of the first
}

// New returns a sealer with a key of each secret, the newest first. label is what it is for: another
// label's keys are others. Without secrets it is nil.
func New(label string, secrets ...string) (*Sealer, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	s := &Sealer{keys: map[string]cipher.AEAD{}}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, label, 32)
		if err != nil {
			return nil, fmt.Errorf("derive a key: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(key)
		id := hex.EncodeToString(sum[:4])
		s.keys[id] = aead
		if s.first != "" {
			continue
		}
		s.first = id
		if s.mac, err = hkdf.Key(sha256.New, []byte(secret), nil, label+", digests", 32); err != nil {
			return nil, fmt.Errorf("derive a key: %w", err)
		}
	}
	return s, nil
}

// Seal seals a text for one place: elsewhere it doesn't open.
func (s *Sealer) Seal(place, text string) string {
	return s.first + "." + base64.RawURLEncoding.EncodeToString(
		s.keys[s.first].Seal(nil, nil, []byte(text), []byte(place)))
}

// Open opens a text that was sealed for a place. The error wraps ErrKey or ErrBroken.
func (s *Sealer) Open(place, sealed string) (string, error) {
	id, coded, _ := strings.Cut(sealed, ".")
	if s == nil || s.keys[id] == nil {
		return "", ErrKey
	}
	text, err := base64.RawURLEncoding.DecodeString(coded)
	if err == nil {
		text, err = s.keys[id].Open(nil, nil, text, []byte(place))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return string(text), nil
}

// Digest stands for a text; nobody can find the text by trying, who hasn't the key.
func (s *Sealer) Digest(place, text string) string {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(place + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
