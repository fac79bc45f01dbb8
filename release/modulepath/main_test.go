package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// copyTree copies this module as git would have it, near enough.
func copyTree(t *testing.T) string {
	t.Helper()
	from, to := filepath.Join("..", ".."), t.TempDir()
	err := fs.WalkDir(os.DirFS(from), ".", func(name string, entry fs.DirEntry, err error) error {
		target := filepath.Join(to, name)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules" || name == "bin" ||
			name == "data" || name == "dist"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular() || entry.Name() == ".git":
			return nil
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRewrite holds that a copy of this tree with another path is whole: all imports
// are found, in the modules beside it too, some packages compile, the linker's flag
// names a variable that is there, and the old path is nowhere, after a second rename too.
func TestRewrite(t *testing.T) {
	t.Parallel()
	root := copyTree(t)
	old := moduleOf(t, root)
	for _, path := range []string{"code.example.org/team-a/longshore.v2", "example.com/x"} {
		changed, err := rewrite(root, path)
		if err != nil || changed < 100 {
			t.Fatalf("%d files changed: %v", changed, err)
		}
		if got := moduleOf(t, root); got != path {
			t.Fatalf("go.mod names %s", got)
		}
		noneLeft(t, root, old)
		old = path
	}
	// To list is to find all imports; a compiler at work on a tree of another name finds
	// nothing in its cache, so it gets a package of each kind of reference and no more.
	for _, dir := range []string{".", "examples/own-worker", "bench/peers"} {
		run(t, filepath.Join(root, dir), "list", "-deps", "-test", "./...")
	}
	run(t, root, "build", "./job", "./installation", "./answer")
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil || !strings.Contains(string(makefile), "-X "+old+"/internal/version.version=") {
		t.Errorf("the linker's flag in the Makefile is not %s's (%v)", old, err)
	}
	if again, err := rewrite(root, old); err != nil || again != 0 {
		t.Errorf("the same path changes %d files, %v", again, err)
	}
}

// TestRefused holds that what the go command could not fetch changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module longshore\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "longshore", "example.com", "https://example.com/x", "example.com/x/",
		"/example.com/x", "example.com/x y", "example.com/../x", "Example.com/x", "example.com/x$1",
		"example.com/x."} {
		if changed, err := rewrite(root, path); err == nil || changed != 0 {
			t.Errorf("%q was taken: %d", path, changed)
		}
	}
	if moduleOf(t, root) != "longshore" {
		t.Error("go.mod was changed")
	}
}

func moduleOf(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("go.mod names no module")
	}
	return string(found[1])
}

// noneLeft looks for the old path before a folder's name, in its own way.
func noneLeft(t *testing.T, root, old string) {
	t.Helper()
	imports := regexp.MustCompile(`["\x60(\[* ]` + regexp.QuoteMeta(old) +
		`/(internal|cmd|job|tasks|client|worker|handlers|bench)\b`)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if at := imports.FindIndex(text); at != nil {
			t.Errorf("%s still says %q", name, text[at[0]:at[1]])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s in %s: %v\n%s", strings.Join(args, " "), dir, err, out)
	}
}
