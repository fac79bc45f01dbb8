package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// A Token is what a server wants to be sent. The zero value fits nothing: a server
// without a token must not ask.
type Token struct {
	sum [sha256.Size]byte // of equal length for all, so that the time of a comparison says nothing
	set bool
}

// NewToken returns the token that is written so; "" makes the zero value.
func NewToken(text string) Token { return Token{sha256.Sum256([]byte(text)), text != ""} }

// IsSet reports whether there is a token.
func (t Token) IsSet() bool { return t.set }

// Is reports whether a text is the token, in a time that depends on neither's content.
func (t Token) Is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 && t.set
}

// Bearer returns the token of an Authorization header (RFC 6750, section 2.1).
// The scheme may be written in any case (RFC 9110, section 11.1). It reports
// false where there is no such token.
func Bearer(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.Trim(token, " ")
	if token == "" || strings.ContainsAny(token, " \t") {
		return "", false
	}
	return token, true
}
