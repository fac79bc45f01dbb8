package blob_test

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
)

// FuzzCheckName holds that an accepted name is a plain path below its root.
func FuzzCheckName(f *testing.F) {
	for _, name := range blobtest.BadNames {
		f.Add(name)
	}
	f.Add("0193d3a0-0000-7000-8000-000000000000/f/report 1.csv")
	f.Fuzz(func(t *testing.T, name string) {
		err := blob.CheckName(name)
		if err != nil {
			if !errors.Is(err, blob.ErrBadName) {
				t.Fatalf("CheckName(%q) = %v", name, err)
			}
			return
		}
		if path.Clean(name) != name || path.IsAbs(name) || !filepath.IsLocal(name) ||
			!strings.Contains(name, "/") || strings.ContainsAny(name, "\x00\r\n\\") {
			t.Fatalf("CheckName accepts %q", name)
		}
		if err := blob.CheckPrefix(path.Dir(name)); err != nil {
			t.Fatalf("the folder of %q is refused: %v", name, err)
		}
	})
}
