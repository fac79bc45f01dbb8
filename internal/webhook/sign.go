package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks.
const (
	headerID        = "webhook-id"        // the same for each attempt
	headerTimestamp = "webhook-timestamp" // of the attempt, in seconds
	headerSignature = "webhook-signature" // "v1,<base64>", one for each secret, separated by spaces
)

// Limits of a secret, in bytes, by Standard Webhooks; and how many may sign at once.
const (
	minSecret  = 24
	maxSecret  = 64
	maxSecrets = 2
)

// A signer signs with one secret, or with the new and the old one while
// receivers move from one to the other.
type signer struct{ keys [][]byte }

// newSigner reads secrets of the form "whsec_<base64>". Its errors don't tell them.
func newSigner(secrets []string) (signer, error) {
	var s signer
	if len(secrets) > maxSecrets {
		return s, errors.New("more than two webhook secrets")
	}
	for _, secret := range secrets {
		text, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return s, errors.New("a webhook secret is whsec_ and 24 to 64 bytes in base64")
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

// sign sets the three headers.
func (s signer) sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	h.Set(headerSignature, strings.Join(signatures, " "))
}
