// Package starter writes the first function in a language: a working example with a
// comment for each part of what a program may do.
package starter

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"longshore/job"
)

// manifest is the name of functions.ManifestFile; the client has no loader.
const manifest = "function.json"

//go:embed files
var files embed.FS

// programs are the files of each language, by their names in the function's folder.
var programs = map[string]map[string]string{
	"sh":     {"main.sh": "main.sh"},
	"python": {"main.py": "main.py"},
	"node":   {"main.mjs": "main.mjs"},
	"ruby":   {"main.rb": "main.rb"},
	"go":     {"main.go.txt": "main.go", "go.mod.txt": "go.mod"},
}

// Languages lists those that there is a start in.
func Languages() []string { return slices.Sorted(maps.Keys(programs)) }

// Write makes a function of a type in a folder of functions, and returns its folder,
// which must not be there.
func Write(language, dir, typ string) (folder string, err error) {
	program, ok := programs[language]
	if !ok {
		return "", fmt.Errorf("no start in %q: there is one in %s", language, strings.Join(Languages(), ", "))
	}
	if !job.IsFolderType(typ) {
		return "", fmt.Errorf(
			"%q is no type: expected two or more lower-case words joined by dots, as hello.world", typ)
	}
	folder = filepath.Join(dir, typ)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("%s is there already", folder)
		}
		return "", err
	}
	write := func(from, to string) {
		text, failed := files.ReadFile("files/" + from)
		if failed == nil {
			failed = os.WriteFile(filepath.Join(folder, to), text, 0o644) //nolint:gosec // a source
		}
		err = errors.Join(err, failed)
	}
	for from, to := range program {
		write(from, to)
	}
	write(manifest, manifest)
	return folder, err
}
