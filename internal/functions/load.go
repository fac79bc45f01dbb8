package functions

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"longshore/job"
)

// A Loader reads folders into functions.
type Loader struct {
	// Path lists folders of programs, as the variable PATH does.
	Path string
	// Starts reports whether an interpreter that was found on Path starts where
	// functions run: one of a version manager may need its user's home. nil = it does.
	Starts func(program string) bool
	// Elsewhere says that functions are started on other machines: what is not in their
	// folders is not looked for.
	Elsewhere bool
}

// Load reads the functions in a folder: each of its folders is one, but for lib and
// names that begin with a dot or an underscore. They are sorted by type. A folder that
// is faulty is left out and is a Fault; so is the second one of a type.
func (l *Loader) Load(dir string) (found []*Function, faults []Fault) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []Fault{{Folder: dir, Err: plainError(err)}}
	}
	for _, e := range entries {
		name := e.Name()
		if name == "lib" || name[0] == '.' || name[0] == '_' {
			continue
		}
		folder := filepath.Join(dir, name)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			if err != nil {
				faults = append(faults, Fault{Folder: folder, Err: plainError(err)})
			}
			continue // a README beside them
		}
		f, wrong := l.LoadOne(folder)
		if wrong != nil {
			faults = append(faults, wrong...)
			continue
		}
		found = append(found, f)
	}
	return found, faults
}

// LoadOne reads one folder, whose name is the type.
func (l *Loader) LoadOne(folder string) (*Function, []Fault) {
	return l.LoadAs(filepath.Base(folder), folder)
}

// LoadAs reads one folder that serves a type, whatever its name is.
func (l *Loader) LoadAs(typ, folder string) (*Function, []Fault) {
	var faults []Fault
	fault := func(file string, err error) { faults = append(faults, Fault{folder, file, err}) }

	f := &Function{Type: typ}
	if !job.IsFolderType(f.Type) {
		fault("",
			fmt.Errorf(
				"name %q is no type: expected two or more lower-case words joined by dots, at most 64 characters", f.Type))
	}
	real, err := realFolder(folder)
	if err != nil {
		fault("", plainError(err))
		return nil, faults
	}
	f.Folder = real
	if f.Manifest, err = readManifest(real); err != nil {
		for _, one := range split(err) {
			fault(ManifestFile, one)
		}
		return nil, faults
	}
	if len(faults) > 0 {
		return nil, faults
	}
	if _, err := f.Info(); err != nil {
		fault(ManifestFile,
			&FieldError{"payload",
				errors.New(strings.ReplaceAll(err.Error(), fmt.Sprintf("task %q: ", f.Type), ""))})
	}
	for _, name := range f.Manifest.Read {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(real, name)
		}
		if path, err = realFolder(path); err != nil {
			fault(ManifestFile, &FieldError{"read", plainError(err)})
			continue
		}
		f.Read = append(f.Read, path)
	}
	if err := l.resolve(f); err != nil {
		fault(fieldFile(err), err)
	}
	if err := f.survey(); err != nil {
		fault("", err)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return f, nil
}

// fieldFile is where an error of a field is: the manifest. Others are the folder's.
func fieldFile(err error) string {
	if errors.As(err, new(*FieldError)) {
		return ManifestFile
	}
	return ""
}

// split takes joined errors apart.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// plainError leaves out the path, which stands before it.
func plainError(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

func realFolder(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = errors.New("is no folder")
	}
	return path, err
}

func readManifest(folder string) (Manifest, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return Manifest{}, plainError(err)
	}
	defer root.Close()
	info, err := root.Stat(ManifestFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return defaultManifest(), nil
	case err != nil:
		return Manifest{}, plainError(err)
	case !info.Mode().IsRegular(): // which could keep who opens it waiting
		return Manifest{}, errors.New("is no plain file")
	}
	file, err := root.Open(ManifestFile)
	if err != nil {
		return Manifest{}, plainError(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err != nil {
		return Manifest{}, plainError(err)
	}
	return ParseManifest(text)
}
