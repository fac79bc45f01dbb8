// Command modulepath gives this module another path: in go.mod, in those of the modules
// beside it, in imports, linker flags and documents. It is what stands behind
// make module-path, for whoever publishes Longshore under a host and a name.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: modulepath HOST/OWNER/NAME, at the module's root")
		os.Exit(64)
	}
	changed, err := rewrite(".", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "modulepath:", err)
		os.Exit(1)
	}
	fmt.Printf("%d files name %s now\n", changed, os.Args[1])
}

// modulePath is what the go command can fetch: a host with a dot, and a path.
var modulePath = regexp.MustCompile(
	`^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// rewrite renames the module whose root is a folder and returns how many files it
// changed. Nothing is written before all has been read.
func rewrite(root, to string) (changed int, err error) {
	if !modulePath.MatchString(to) || strings.HasSuffix(to, ".") {
		return 0, fmt.Errorf("%q is no path of a module: expected one like github.com/owner/longshore", to)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(mod)
	if found == nil {
		return 0, errors.New("go.mod names no module")
	}
	from := string(found[1])
	if from == to {
		return 0, nil
	}
	rules, err := newRules(root, from, to)
	if err != nil {
		return 0, err
	}
	texts := map[string][]byte{}
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil || name == ".":
			return err
		case entry.IsDir() && (base == ".git" || base == "node_modules" || slices.Contains(outputs, name)):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || bytes.IndexByte(text, 0) >= 0 || !bytes.Contains(text, []byte(from)) {
			return err // or it is no text, or one that is not about the module
		}
		if now := rules.apply(name, text); !bytes.Equal(now, text) {
			texts[name] = now
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for name, text := range texts {
		if err := replace(filepath.Join(root, name), text); err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}

// outputs are the folders that make writes.
var outputs = []string{"bin", "data", "dist"}

// replace writes a file anew and leaves its mode.
func replace(name string, text []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, info.Mode().Perm())
}

// Rules find a module's path in texts. It may be a common word: so it counts only
// before the name of one of its folders, in go.mod, and in flags of go mod edit.
type rules struct {
	packages, modules, flags *regexp.Regexp
	to                       string
}

func newRules(root, from, to string) (*rules, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' && !slices.Contains(outputs, e.Name()) {
			folders = append(folders, regexp.QuoteMeta(e.Name()))
		}
	}
	const before = `(^|[^A-Za-z0-9_./~-])`
	old := regexp.QuoteMeta(from)
	return &rules{to: to,
		packages: regexp.MustCompile(`(?m)` + before + old + `(/(?:` + strings.Join(folders, "|") + `)\b)`),
		modules:  regexp.MustCompile(`(?m)` + before + old + `(\s|$)`),
		flags:    regexp.MustCompile(`(-require=|-replace=)` + old + `([@=])`)}, nil
}

func (r *rules) apply(name string, text []byte) []byte {
	with := []byte("${1}" + r.to + "${2}")
	if base := path.Base(name); base == "go.mod" || base == "go.work" {
		text = r.modules.ReplaceAll(text, with)
	}
	return r.packages.ReplaceAll(r.flags.ReplaceAll(text, with), with)
}
