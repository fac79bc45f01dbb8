// Package auth checks the bearer token that guards the HTTP interface.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

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

// Equal reports whether a token is the wanted one, in a time that depends on
// neither's content nor on the wanted one's length. An empty wanted token is
// equal to none: a server without a token must not ask.
func Equal(token, want string) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}
