package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// lookAtSources looks at each file that programs may be built from. These tests import
// none of the programs, so the go command does not know that they depend on them and
// would answer from its cache after a change; but it notes which files of the module
// a test has looked at (go help test, "cached"). It returns their names, from the root.
func lookAtSources(root string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		base := path.Base(name)
		switch {
		case err != nil || name == ".":
			return err
		case entry.IsDir():
			if base[0] == '.' || base == "node_modules" || name == "bin" || name == "data" ||
				name == "dist" || name == "docs" {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular() || path.Ext(base) == ".md" || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		names = append(names, name)
		_, err = os.Stat(filepath.Join(root, name)) // which is what is noted
		return err
	})
	return names, err
}

// TestSourcesAreLookedAt holds that nothing which the go command builds the programs
// from is left out, scripts that are embedded among it.
func TestSourcesAreLookedAt(t *testing.T) {
	t.Parallel()
	names, err := lookAtSources("..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range names {
		seen[name] = true
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	const each = `{{if not .Standard}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{end}}`
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", each, "./cmd/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, scripts := 0, 0
	for _, file := range strings.Fields(string(out)) {
		name, ok := strings.CutPrefix(filepath.ToSlash(file), filepath.ToSlash(root)+"/")
		if !ok {
			continue // another module's
		}
		ours++
		if path.Ext(name) == ".lua" {
			scripts++
		}
		if !seen[name] {
			t.Errorf("%s is not looked at", name)
		}
	}
	if ours < 100 || scripts == 0 {
		t.Errorf("only %d files, %d scripts", ours, scripts)
	}
}
