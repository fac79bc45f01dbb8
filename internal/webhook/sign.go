package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"longshore/internal/receiver"
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
		if len(key) < receiver.MinKey {
			return s, receiver.ErrShortKey
		}
		s.keys = append(s.keys, []byte(key))
	}
	return s, nil
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
		c, err := receiver.Derive(string(key), receiver.Receiver{Origin: receiver.OriginOf(to)})
		if err != nil {
			continue // never: the key was checked
		}
		hash(c.Secret)
		signatures = append(signatures,
			"v1a,"+base64.StdEncoding.EncodeToString(c.Sign(message)))
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	if len(signatures) > 0 {
		h.Set(headerSignature, strings.Join(signatures, " "))
	}
}
