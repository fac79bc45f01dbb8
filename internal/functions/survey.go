package functions

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"longshore/internal/sandbox"
)

// maxEntries bounds a function's folder: node_modules may be large.
const maxEntries = 200_000

// undigested are folders whose contents are made anew on each machine.
var undigested = []string{"node_modules", ".venv", ".git"}

// survey looks at all of a function's folder once: it finds links that lead where the
// program can't read, and makes the digest.
func (f *Function) survey() error {
	sum := sha256.New()
	var wrong []error
	entries := 0
	err := filepath.WalkDir(f.Folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("can't be read: %w", err)
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("has over %d files", maxEntries)
		}
		name, _ := filepath.Rel(f.Folder, path)
		if d.Type()&fs.ModeSymlink != 0 {
			if err := f.link(path); err != nil && len(wrong) < 10 {
				wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
			}
		}
		if !digested(name) {
			return nil
		}
		return digest(sum, path, name, d)
	})
	f.Digest = hex.EncodeToString(sum.Sum(nil))
	return errors.Join(append(wrong, err)...)
}

func digested(name string) bool {
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool {
		return slices.Contains(undigested, part)
	})
}

// link refuses one that leads elsewhere than the program may read.
func (f *Function) link(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("a link that leads nowhere: %w", plainError(err))
	}
	readable := slices.Concat([]string{f.Folder}, f.Read, sandbox.System("/usr"))
	if slices.ContainsFunc(readable, func(dir string) bool { return inside(target, dir) }) {
		return nil
	}
	return fmt.Errorf(
		"a link out of the folder, to %s, which the program can't read: name a folder in read, or make it a file", target)
}

// inside reports whether a path is a folder or lies in it.
func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func digest(sum io.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return plainError(err)
	}
	fmt.Fprintf(sum, "%q %v %d\n", name, info.Mode(), info.Size()*int64(b2i(info.Mode().IsRegular())))
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		fmt.Fprintf(sum, "%q\n", target)
		return plainError(err)
	case !info.Mode().IsRegular():
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return plainError(err)
	}
	defer file.Close()
	_, err = io.Copy(sum, file)
	return plainError(err)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Fingerprint tells cheaply whether something in a folder may have changed: names,
// sizes, modes and times of its files, but for those that no digest has.
func Fingerprint(folder string) string {
	sum := sha256.New()
	entries := 0
	_ = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(folder, path)
		if err != nil {
			fmt.Fprintf(sum, "%q %v\n", name, err)
			return nil
		}
		if d.IsDir() && slices.Contains(undigested, d.Name()) {
			return fs.SkipDir
		}
		if entries++; entries > maxEntries {
			return fs.SkipAll
		}
		if info, err := d.Info(); err == nil {
			fmt.Fprintf(sum, "%q %v %d %d\n", name, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil))
}
