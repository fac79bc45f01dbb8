package functions

import (
	"cmp"
	"fmt"
	"io"

	"longshore/tasks"
)

// A Function is a folder, or what was unpacked into one, that serves a type.
type Function struct {
	Type     string
	Folder   string // absolute, without links
	Manifest Manifest
	// Command is the program's absolute path and its arguments, resolved once. In
	// mode wasm it is the module's path.
	Command []string
	// Read are the folders of Manifest.Read, absolute and without links.
	Read []string
	// Digest tells two contents of a folder apart: SHA-256, in hex, of all but
	// node_modules, .venv and .git.
	Digest string

	// Version is the number of a deployed function, from 1; 0 = a folder. SHA256 is
	// what was deployed, in hex.
	Version int64
	SHA256  string
	// Hold keeps a deployed function's folder where it is; nil = nothing has to.
	Hold io.Closer
}

// Info is the function's definition as it is published and listed. The error says
// what is wrong with it as a type of work.
func (f *Function) Info() (tasks.Info, error) {
	m := &f.Manifest
	info := tasks.Info{Type: f.Type, Doc: m.Doc, Lane: m.Lane,
		TimeoutMS:   cmp.Or(m.Timeout, tasks.DefaultTimeout).Milliseconds(),
		MaxAttempts: cmp.Or(m.MaxAttempts, tasks.DefaultMaxAttempts),
		RetentionMS: m.Retention.Milliseconds(), DeleteInput: m.DeleteInput,
		Input: m.Input, Schema: m.Payload}
	if _, err := tasks.NewCatalog(info); err != nil {
		return info, err
	}
	return info, nil
}

// A Fault says why a folder is not a function, or why one is left out.
type Fault struct {
	Folder string
	File   string // in it; "" = the folder itself
	Err    error  // of a manifest a *FieldError
}

func (f Fault) Error() string {
	if f.File != "" {
		return fmt.Sprintf("%s/%s: %v", f.Folder, f.File, f.Err)
	}
	return fmt.Sprintf("%s: %v", f.Folder, f.Err)
}

// Unwrap returns the cause.
func (f Fault) Unwrap() error { return f.Err }
