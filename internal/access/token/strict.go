// Package token reads and makes signed tokens: those of ours for pages in browsers, and
// JWTs of other issuers. Before golang-jwt verifies a text it is read here, strictly: that
// package takes members twice, their names in other case, and headers that mean something.
package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"longshore/internal/access"
	"longshore/internal/strictjson"
)

// Bounds of a token, in bytes.
const (
	maxToken = 8 << 10
	maxKid   = 128
)

// A header is what counts of a JOSE header (RFC 7515, section 4).
type header struct{ alg, kid, typ string }

// A raw is a token that is well formed, and nothing more.
type raw struct {
	header
	claims map[string]json.RawMessage
}

// errForm is access.ErrUnknown with a reason.
func errForm(why string) error { return fmt.Errorf("%w: %s", access.ErrUnknown, why) }

// read takes a token apart. The error wraps access.ErrUnknown.
func read(text string) (raw, error) {
	var t raw
	if len(text) > maxToken {
		return t, errForm("too long")
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, errForm("not three parts")
	}
	decoded := make([][]byte, len(parts))
	for i, part := range parts {
		var err error
		decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(part) == 0 || strings.ContainsAny(part, "\r\n") { // which the decoder skips
			return t, errForm("no base64url")
		}
	}
	if err := strictjson.Fields(decoded[0], t.headerMember); err != nil {
		return t, errForm(err.Error())
	}
	if t.alg == "" {
		return t, errForm("no alg")
	}
	t.claims = map[string]json.RawMessage{}
	err := strictjson.Fields(decoded[1], func(name, value []byte) error {
		t.claims[string(name)] = value
		return nil
	})
	if err != nil {
		return t, errForm(err.Error())
	}
	return t, nil
}

// headerMember takes one member of the header. Where a key may be found (jku, jwk, x5u, x5c)
// is for us to know; what changes the meaning of the rest is refused, in any case.
func (t *raw) headerMember(name, value []byte) error {
	var to *string
	switch lower := strings.ToLower(string(name)); lower {
	case "crit", "zip", "enc", "b64", "cty":
		return errors.New("header " + lower)
	case "alg":
		to = &t.alg
	case "kid":
		to = &t.kid
	case "typ":
		to = &t.typ
	default:
		return nil
	}
	known := string(name) == "alg" || string(name) == "kid" || string(name) == "typ"
	if !known || json.Unmarshal(value, to) != nil || *to == "" || len(*to) > maxKid {
		return errors.New("header " + strings.ToLower(string(name)))
	}
	return nil
}
