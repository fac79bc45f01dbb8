package functions

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A starter is a file that is started.
type starter struct {
	file         string
	interpreters []string // nil = it is a program itself
}

// starters are what is looked for where a manifest has no command, in this order, and
// what may interpret it.
var starters = []starter{
	{"run", nil}, {"main.py", []string{"python3", "python"}}, {"main.mjs", []string{"node"}},
	{"main.rb", []string{"ruby"}}, {"main.sh", []string{"bash", "sh"}},
}

const moduleFile = "function.wasm"

// resolve finds the program of a function, as Function.Command has it.
func (l *Loader) resolve(f *Function) error {
	switch {
	case f.Manifest.Mode == WASM:
		return resolveModule(f)
	case f.Manifest.Command == nil:
		return l.resolveDefault(f)
	}
	if l.Elsewhere {
		return resolveElsewhere(f)
	}
	words := append([]string(nil), f.Manifest.Command...)
	for i, word := range words {
		if path := filepath.Join(f.Folder, word); word != "" && filepath.IsLocal(word) && exists(path) {
			words[i] = path
		}
	}
	var err error
	if words[0], err = l.program(words[0]); err != nil {
		return &FieldError{"command", err}
	}
	f.Command = words
	return nil
}

// resolveElsewhere checks what is to be seen of a command where it will not be started.
func resolveElsewhere(f *Function) error {
	word := f.Manifest.Command[0]
	if strings.ContainsRune(word, '/') && !filepath.IsAbs(word) && !exists(filepath.Join(f.Folder, word)) {
		return &FieldError{"command", fmt.Errorf("there is no %s in the folder", word)}
	}
	f.Command = f.Manifest.Command
	return nil
}

func resolveModule(f *Function) error {
	name := moduleFile
	if f.Manifest.Command != nil {
		name = f.Manifest.Command[0]
	}
	if !filepath.IsLocal(name) {
		return &FieldError{"command", errors.New("a module is a file of the folder")}
	}
	path := filepath.Join(f.Folder, name)
	if !exists(path) {
		return &FieldError{"command", fmt.Errorf("there is no %s", name)}
	}
	f.Command = append([]string{path}, f.Manifest.Command[min(1, len(f.Manifest.Command)):]...)
	return nil
}

func (l *Loader) resolveDefault(f *Function) error {
	if path := filepath.Join(f.Folder, moduleFile); exists(path) {
		f.Manifest.Mode, f.Command = WASM, []string{path}
		return nil
	}
	for _, s := range starters {
		path := filepath.Join(f.Folder, s.file)
		if !exists(path) {
			continue
		}
		if l.Elsewhere {
			f.Command = []string{path}
			return nil
		}
		if s.interpreters == nil {
			program, err := l.program(path)
			f.Command = []string{program}
			return err
		}
		interpreter, err := l.interpreter(s.interpreters)
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		f.Command = []string{interpreter, path}
		return nil
	}
	names := make([]string, len(starters))
	for i, s := range starters {
		names[i] = s.file
	}
	return fmt.Errorf("nothing to start: expected command in %s, or a file %s or %s", ManifestFile,
		strings.Join(names, ", "), moduleFile)
}

// program checks a program, which is a path, or a name that Path is searched for.
func (l *Loader) program(word string) (string, error) {
	if strings.ContainsRune(word, '/') {
		if !filepath.IsAbs(word) {
			return "", fmt.Errorf("there is no %s in the folder", word)
		}
		return word, l.executable(word)
	}
	var first error
	for _, dir := range filepath.SplitList(l.Path) {
		path := filepath.Join(dir, word)
		if !filepath.IsAbs(dir) || !exists(path) {
			continue
		}
		err := l.executable(path)
		if err == nil && interprets(word) && l.Starts != nil && !l.Starts(path) {
			err = errors.New("does not start in the sandbox (a folder in read may mend that)")
		}
		if err == nil {
			return path, nil
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", path, err)
		}
	}
	if first == nil {
		first = fmt.Errorf("there is no %s in the folder or on PATH", word)
	}
	return "", first
}

// interprets reports whether a name is one that is tried in the sandbox before it is
// chosen: that of a version manager may be a script that needs its user's home.
func interprets(name string) bool {
	return slices.ContainsFunc(starters, func(s starter) bool {
		return slices.Contains(s.interpreters, name)
	})
}

func (l *Loader) interpreter(names []string) (string, error) {
	var refused string
	for _, name := range names {
		for _, dir := range filepath.SplitList(l.Path) {
			path := filepath.Join(dir, name)
			if !filepath.IsAbs(dir) || l.executable(path) != nil {
				continue
			}
			if l.Starts == nil || l.Starts(path) {
				return path, nil
			}
			refused = path
		}
	}
	if refused != "" {
		return "", fmt.Errorf(
			"%s does not start in the sandbox, and PATH has no other (a folder in read may mend that)",
			refused)
	}
	return "", fmt.Errorf("there is no %s on PATH", strings.Join(names, " or "))
}

// executable says why a file can't be started, "" = it can, as far as its first line
// tells.
func (l *Loader) executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case err != nil:
		return plainError(err)
	case !info.Mode().IsRegular():
		return errors.New("is no plain file")
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("is not executable: chmod +x %s", filepath.Base(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return plainError(err)
	}
	defer file.Close()
	head := make([]byte, 256)
	n, _ := file.Read(head) // an empty file is a script of nothing
	line, script := bytes.CutPrefix(head[:n], []byte("#!"))
	if !script {
		return nil
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		return errors.New("its first line ends in CR LF: no interpreter has such a name")
	}
	words := strings.Fields(string(line))
	if len(words) == 0 || !exists(words[0]) {
		return fmt.Errorf("its interpreter %q does not exist", strings.Join(words, " "))
	}
	if filepath.Base(words[0]) == "env" && len(words) == 2 {
		if _, err := l.program(words[1]); err != nil {
			return fmt.Errorf("its interpreter: %w", err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
