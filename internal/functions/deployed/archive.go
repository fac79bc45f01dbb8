package deployed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"longshore/internal/functions"
	"longshore/internal/functions/registry"
)

// Limits of what is deployed.
const (
	MaxSize    = 64 << 20  // bytes that are sent
	MaxModule  = 32 << 20  // … of a module
	maxUnpack  = 256 << 20 // … that an archive may hold
	maxEntries = 10_000
	maxName    = 1024 // bytes of an entry's name
)

// KindOf tells what is sent by how it begins; "" = something else.
func KindOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x00asm")):
		return registry.KindModule
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return registry.KindArchive
	}
	return ""
}

// A BadError says what is wrong with what was sent, for who sent it.
type BadError struct{ err error }

func (b *BadError) Error() string { return b.err.Error() }
func (b *BadError) Unwrap() error { return b.err }

func bad(format string, args ...any) error { return &BadError{fmt.Errorf(format, args...)} }

// unpack puts what was deployed into a folder that is empty. Only files and folders come
// out, inside the folder, with modes of ours. The error is a *BadError where that is what
// is wrong.
func unpack(kind string, r io.Reader, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	switch kind {
	case registry.KindModule:
		n, err := writeFile(root, moduleFile, io.LimitReader(r, MaxModule+1), 0o444)
		if err == nil && n > MaxModule {
			err = bad("the module is over %d MiB", MaxModule>>20)
		}
		return err
	case registry.KindArchive:
		return unpackArchive(r, root)
	}
	return bad("expected a module of WebAssembly or a tar.gz")
}

const moduleFile = "function.wasm"

func unpackArchive(r io.Reader, root *os.Root) error {
	// Headers count, too: long names and extended attributes unpack to much.
	most := &bounded{r: nil, left: maxUnpack + maxEntries*2048}
	plain, err := gzip.NewReader(r)
	if err != nil {
		return notArchive(err)
	}
	most.r = plain
	archive := tar.NewReader(most)
	entries, left := 0, int64(maxUnpack)
	folders := map[string]bool{} // those that names have on their way: each costs a disk as much as a file
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return notArchive(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive writes one
			continue
		}
		if entries++; entries > maxEntries {
			return bad("the archive has over %d entries", maxEntries)
		}
		if h.Typeflag == tar.TypeReg {
			if left -= h.Size; left < 0 {
				return bad("the archive unpacks to over %d MiB", maxUnpack>>20)
			}
		}
		for dir := path.Dir(path.Clean(h.Name)); dir != "." && dir != "/" && !folders[dir]; dir = path.Dir(dir) {
			if folders[dir] = true; entries+len(folders) > maxEntries {
				return bad("the archive has over %d entries and folders", maxEntries)
			}
		}
		if err := unpackEntry(root, h, archive); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, most); err != nil { // the checksum stands at the end
		return notArchive(err)
	}
	return nil
}

func notArchive(err error) error {
	if errors.As(err, new(*BadError)) {
		return err
	}
	return bad("the archive can't be read: %w", err)
}

// bounded ends an archive that unpacks to too much.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, bad("the archive unpacks to over %d MiB", maxUnpack>>20)
	}
	return n, err
}

func unpackEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		return entryError(h.Name, root.MkdirAll(name, 0o755))
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink:
		return bad("entry %q is a link: only files and folders may be deployed", h.Name)
	default:
		return bad("entry %q is no plain file: only files and folders may be deployed", h.Name)
	}
	if name == "." {
		return bad("entry %q has no name", h.Name)
	}
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return entryError(h.Name, err)
		}
	}
	mode := fs.FileMode(0o444)
	if h.Mode&0o111 != 0 {
		mode = 0o555
	}
	_, err = writeFile(root, name, r, mode)
	return entryError(h.Name, err)
}

// entryName returns the name of an entry as a path inside the folder.
func entryName(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case name == "" || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\\"):
		return "", bad("entry %q has a name that can't be one of a file", name)
	case len(name) > maxName:
		return "", bad("an entry's name is over %d bytes: %.60q…", maxName, name)
	case path.IsAbs(name):
		return "", bad("entry %q has an absolute name", name)
	case strings.Contains("/"+name+"/", "/../") || !filepath.IsLocal(clean):
		return "", bad("entry %q leads out of the folder", name)
	}
	return clean, nil
}

// entryError words what the folder makes of an entry.
func entryError(name string, err error) error {
	var p *fs.PathError
	switch {
	case err == nil || errors.As(err, new(*BadError)):
		return err
	case errors.Is(err, fs.ErrExist):
		return bad("entry %q is there twice", name)
	case errors.As(err, &p) && (errors.Is(p.Err, errNotDir) || errors.Is(p.Err, errNameTooLong) ||
		errors.Is(p.Err, errIsDir)):
		return bad("entry %q: %w", name, p.Err)
	}
	return err
}

// writeFile writes a file that must not be there, and returns its length.
func writeFile(root *os.Root, name string, r io.Reader, mode fs.FileMode) (int64, error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = notArchive(err) // it was read, not written
	}
	return n, err
}

// load reads a folder that was unpacked, and says what is not allowed. The loader finds
// interpreters on PATH; static leaves that out, where nothing will be started.
func load(typ, folder string, rules Rules, l *functions.Loader) (*functions.Function, error) {
	f, faults := l.LoadAs(typ, folder)
	if f == nil {
		var errs []error
		for _, fault := range faults {
			err := fault.Err
			if fault.File != "" {
				err = fmt.Errorf("%s: %w", fault.File, err)
			}
			errs = append(errs, err)
		}
		return nil, &BadError{errors.Join(errs...)}
	}
	if err := rules.Check(&f.Manifest); err != nil {
		return nil, &BadError{fmt.Errorf("%s: %w", functions.ManifestFile, err)}
	}
	return f, nil
}
