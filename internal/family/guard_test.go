package family

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard holds that a guard kills nobody who has ended, ends with its pipe, hands on the
// folders among its marks, and that other arguments make none.
func TestGuard(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "work-of-nobody")
	var removed []string
	remove := func(path string) { removed = append(removed, path) }
	guard([]string{"cluster-of-nobody", folder}, strings.NewReader("+4194304\n-4194304\nx\n+0\n"), remove)
	if len(removed) != 1 || removed[0] != folder {
		t.Errorf("removed %q", removed)
	}
	for _, args := range [][]string{nil, {guardMode}, {"web=1", guardMode}} {
		if BeGuard(args, strings.NewReader(""), remove) {
			t.Errorf("%q make a guard", args)
		}
	}
}
