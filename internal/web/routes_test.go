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
	if want := []string{"health", "openapi", "ready"}; !slices.Equal(got[edge.Public], want) {
		t.Errorf("public: %q, want %q", got[edge.Public], want)
	}
	if want := []string{"socket"}; !slices.Equal(got[edge.Socket], want) {
		t.Errorf("socket: %q, want %q", got[edge.Socket], want)
	}
	if rest := len(all) - len(got[edge.Public]) - len(got[edge.Socket]); rest != len(got[edge.Bearer]) {
		t.Errorf("%d of %d routes take the token: %q", len(got[edge.Bearer]), rest, got)
	}
}
