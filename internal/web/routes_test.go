package web

import (
	"slices"
	"testing"

	"longshore/internal/web/edge"
	"longshore/internal/web/push"
)

// TestAccess has the routes that need no token, or take it in another way, by their
// names: a new one is put here on purpose.
func TestAccess(t *testing.T) {
	t.Parallel()
	all := append(routes(Config{}, Deps{}, push.NewWaiters(nil, 0, 0, 0), t.Context()), new(document).route())
	got := map[edge.Access][]string{}
	seen := map[string]bool{}
	for _, rt := range all {
		got[rt.Access] = append(got[rt.Access], rt.Op.OperationID)
		for _, name := range []string{rt.Op.OperationID, rt.Op.Method + " " + rt.Op.Path} {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
	}
	slices.Sort(got[edge.Public])
	want := []string{"dashboard", "dashboard-file", "function-schema", "health", "login-script",
		"login-style", "openapi", "ready"}
	if !slices.Equal(got[edge.Public], want) {
		t.Errorf("public: %q, want %q", got[edge.Public], want)
	}
	if want := []string{"socket"}; !slices.Equal(got[edge.Socket], want) {
		t.Errorf("socket: %q, want %q", got[edge.Socket], want)
	}
	for kind, want := range map[edge.Access][]string{
		edge.Visit: {"begin-passkey-login", "login", "login-by-issuer", "login-by-issuer-back", "login-code",
			"login-code-page", "login-page", "passkey-login", "register", "register-page"},
		edge.Page: {"account-page", "add-passkey", "begin-passkey", "codes-page", "confirm-codes",
			"end-codes", "end-issuer", "end-passkey", "login-again", "login-again-page", "logout",
			"set-password"},
	} {
		slices.Sort(got[kind])
		if !slices.Equal(got[kind], want) {
			t.Errorf("%s: %q, want %q", kind, got[kind], want)
		}
	}
	rest := len(all)
	for _, kind := range []edge.Access{edge.Public, edge.Socket, edge.Visit, edge.Page} {
		rest -= len(got[kind])
	}
	if rest != len(got[edge.Bearer]) {
		t.Errorf("%d of %d routes take the token: %q", len(got[edge.Bearer]), rest, got)
	}
}
