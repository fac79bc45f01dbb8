package functions

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"longshore/internal/bytesize"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/internal/strictjson"
	"longshore/job"
	"longshore/tasks"
)

// ManifestFile is the file in a function's folder that says what it is.
const ManifestFile = "function.json"

// Schema is the JSON Schema (draft 2020-12) of a manifest.
//
//go:embed schema.json
var Schema []byte

// A Mode is what runs a function.
type Mode string

// The modes.
const (
	Exec   Mode = "exec"   // a process a job
	Lambda Mode = "lambda" // a warm process that speaks the AWS Lambda runtime API
	WASM   Mode = "wasm"   // a WebAssembly module, wasip1
)

// How a program gets its input.
const (
	InputStdin = "stdin"
	InputFile  = "file" // a private copy, for what seeks
)

// What becomes of stdout.
const (
	OutputAuto  = "auto"  // one JSON value is the result, anything else an output
	OutputJSON  = "json"  // the result, or a failure
	OutputLog   = "log"   // lines of the log
	OutputNamed = "named" // an output with the name that Output says
)

// What is asked of the sandbox.
const (
	SandboxAuto    = "auto"    // as much as the kernel has
	SandboxRequire = "require" // not served where something is missing
	SandboxOff     = "off"
)

// Output says what becomes of stdout.
type Output struct {
	As                string // one of the words above
	Name, ContentType string // of OutputNamed
}

// Network says where a program may connect to.
type Network struct {
	All   bool
	Ports []uint16 // TCP, where All is false
}

// A Manifest is what function.json says, with defaults where it is silent. The zero
// values of Command, Memory, Timeout, MaxAttempts and Retention mean: not said.
type Manifest struct {
	Doc         string
	Command     []string
	Mode        Mode
	Payload     json.RawMessage // JSON Schema
	Input       tasks.InputRule
	InputAs     string
	Output      Output
	Handler     string // of mode lambda: _HANDLER
	Lane        job.Lane
	Timeout     time.Duration
	MaxAttempts int
	Retention   time.Duration
	DeleteInput string   // "" = with its job
	Memory      int64    // bytes, of the whole process tree
	Env         []string // names
	Read        []string // folders, as written
	Network     Network
	Sandbox     string
}

// MinMemory is the least that a manifest may ask for, in bytes.
const MinMemory = 64 << 20

// maxManifest bounds a manifest, in bytes: a schema of a payload may be that long.
const maxManifest = 2 * tasks.MaxDefinition

func defaultManifest() Manifest {
	return Manifest{Mode: Exec, Payload: json.RawMessage(tasks.AnyPayload), Input: tasks.InputOptional,
		InputAs: InputStdin, Output: Output{As: OutputAuto}, Lane: job.LaneCPU, Sandbox: SandboxAuto}
}

// A FieldError says what is wrong with a field of a manifest.
type FieldError struct {
	Field string // "" = the whole
	Err   error
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return e.Field + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// ParseManifest reads a manifest strictly. The error joins a *FieldError for each
// mistake. What the payload's schema is worth, Function.Info says.
func ParseManifest(text []byte) (Manifest, error) {
	m := defaultManifest()
	if len(text) > maxManifest {
		return m, &FieldError{Err: fmt.Errorf("is over %d bytes", maxManifest)}
	}
	var wrong []error
	err := strictjson.Fields(text, func(name, value []byte) error {
		read, known := fields[string(name)]
		err := errUnknownField
		if known {
			err = read(&m, value)
		}
		if err != nil {
			wrong = append(wrong, &FieldError{string(name), err})
		}
		return nil
	})
	if err != nil {
		return m, &FieldError{Err: err}
	}
	if err := m.agree(); err != nil {
		wrong = append(wrong, err)
	}
	return m, errors.Join(wrong...)
}

// FieldNames lists the fields of a manifest.
func FieldNames() []string { return slices.Sorted(maps.Keys(fields)) }

// agree finds fields that don't go together.
func (m *Manifest) agree() error {
	switch {
	case m.Handler != "" && m.Mode != Lambda:
		return &FieldError{"handler", errors.New(`only mode "lambda" has one`)}
	case m.InputAs == InputFile && m.Input == tasks.NoInput:
		return &FieldError{"input_as", errors.New(`there is no input, by input "none"`)}
	case m.Mode == WASM && (m.Network.All || len(m.Network.Ports) > 0):
		return &FieldError{"network", errors.New("a module has none")}
	}
	return nil
}

var (
	errUnknownField = errors.New("unknown field")
	errText         = errors.New("expected a text")
	errTexts        = errors.New("expected a list of texts")
)

// fields reads each field of a manifest.
var fields = map[string]func(m *Manifest, value []byte) error{
	"$schema": func(_ *Manifest, v []byte) error { return text(v, new(string), 300) }, // for editors
	"doc":     func(m *Manifest, v []byte) error { return text(v, &m.Doc, 300) },
	"command": func(m *Manifest, v []byte) error { return readCommand(m, v) },
	"mode":    func(m *Manifest, v []byte) error { return oneOf(v, &m.Mode, Exec, Lambda, WASM) },
	"payload": readPayload,
	"input": func(m *Manifest, v []byte) error {
		return oneOf(v, &m.Input, tasks.NoInput, tasks.InputOptional, tasks.InputRequired)
	},
	"delete_input": func(m *Manifest, v []byte) error {
		return oneOf(v, &m.DeleteInput, job.DeleteOnSuccess, job.DeleteAtEnd)
	},
	"input_as": func(m *Manifest, v []byte) error { return oneOf(v, &m.InputAs, InputStdin, InputFile) },
	"output":   readOutput,
	"handler":  func(m *Manifest, v []byte) error { return text(v, &m.Handler, 200) },
	"lane":     func(m *Manifest, v []byte) error { return oneOf(v, &m.Lane, job.LaneCPU, job.LaneIO) },
	"timeout": func(m *Manifest, v []byte) error {
		return duration(v, &m.Timeout, time.Millisecond, tasks.MaxTimeout)
	},
	"max_attempts": readAttempts,
	"retention": func(m *Manifest, v []byte) error {
		return duration(v, &m.Retention, time.Second, 366*24*time.Hour)
	},
	"memory":  readMemory,
	"env":     readEnv,
	"read":    func(m *Manifest, v []byte) error { return texts(v, &m.Read, 32) },
	"network": readNetwork,
	"sandbox": func(m *Manifest, v []byte) error {
		return oneOf(v, &m.Sandbox, SandboxAuto, SandboxRequire, SandboxOff)
	},
}

// text reads a text of at most max bytes that a program can get as a word.
func text(value []byte, to *string, max int) error {
	var s *string
	if json.Unmarshal(value, &s) != nil || s == nil {
		return errText
	}
	switch {
	case len(*s) > max:
		return fmt.Errorf("expected at most %d bytes", max)
	case strings.ContainsRune(*s, 0):
		return errors.New("holds a NUL")
	}
	*to = *s
	return nil
}

func texts(value []byte, to *[]string, max int) error {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil || list == nil {
		return errTexts
	}
	if len(list) > max {
		return fmt.Errorf("expected at most %d of them", max)
	}
	all := make([]string, len(list))
	for i, one := range list {
		if err := text(one, &all[i], 4096); err != nil {
			return fmt.Errorf("%w at %d", err, i)
		}
		if all[i] == "" && i == 0 {
			return errors.New("the first one is empty")
		}
	}
	*to = all
	return nil
}

func oneOf[T ~string](value []byte, to *T, words ...T) error {
	var s string
	if err := text(value, &s, 100); err == nil && slices.Contains(words, T(s)) {
		*to = T(s)
		return nil
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", string(w))
	}
	return fmt.Errorf("expected %s", strings.Join(quoted, " or "))
}

func duration(value []byte, to *time.Duration, least, most time.Duration) error {
	var s string
	if text(value, &s, 64) != nil {
		return errors.New(`expected a duration like "30s" or "2h"`)
	}
	d, err := httpapi.ParseDuration(s)
	if err != nil {
		return err
	}
	if d < least || d > most {
		return fmt.Errorf("expected %s to %s", httpapi.FormatDuration(least), httpapi.FormatDuration(most))
	}
	*to = d
	return nil
}

func readCommand(m *Manifest, value []byte) error {
	if err := texts(value, &m.Command, 100); err != nil {
		return err
	}
	if len(m.Command) == 0 {
		return errors.New("is empty")
	}
	return nil
}

func readPayload(m *Manifest, value []byte) error {
	if len(value) == 0 || value[0] != '{' {
		return errors.New("expected a JSON Schema, an object")
	}
	m.Payload = slices.Clone(value)
	return nil
}

func readOutput(m *Manifest, value []byte) error {
	var word string
	if text(value, &word, 100) == nil {
		if word != OutputAuto && word != OutputJSON && word != OutputLog {
			return errOutput
		}
		m.Output = Output{As: word}
		return nil
	}
	o := Output{As: OutputNamed}
	err := strictjson.Fields(value, func(name, value []byte) error {
		switch string(name) {
		case "name":
			return text(value, &o.Name, 255)
		case "content_type":
			return text(value, &o.ContentType, 255)
		}
		return errUnknownField
	})
	switch {
	case errors.Is(err, strictjson.ErrNoObject):
		return errOutput
	case err != nil:
		return err
	case !printable.FileName(o.Name):
		return errors.New("name: expected a plain file name")
	}
	m.Output = o
	return nil
}

var errOutput = errors.New(`expected "auto", "json", "log" or {"name", "content_type"}`)

func readAttempts(m *Manifest, value []byte) error {
	var n int
	if json.Unmarshal(value, &n) != nil || n < 1 || n > tasks.MaxMaxAttempts {
		return fmt.Errorf("expected a number from 1 to %d", tasks.MaxMaxAttempts)
	}
	m.MaxAttempts = n
	return nil
}

func readMemory(m *Manifest, value []byte) error {
	var s string
	if err := text(value, &s, 64); err != nil {
		s = string(value) // a number of bytes
	}
	n, err := bytesize.Parse(s)
	if err != nil {
		return err
	}
	if n < MinMemory {
		return fmt.Errorf("expected at least %s", bytesize.Format(MinMemory))
	}
	m.Memory = n
	return nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readEnv(m *Manifest, value []byte) error {
	var names []string
	if err := texts(value, &names, 100); err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case !envName.MatchString(name):
			return fmt.Errorf("%q is no name of a variable", name)
		case strings.HasPrefix(name, "LONGSHORE_"):
			return fmt.Errorf("%s is ours: names that begin with LONGSHORE_ are not handed on", name)
		}
	}
	m.Env = names
	return nil
}

func readNetwork(m *Manifest, value []byte) error {
	var all bool
	if json.Unmarshal(value, &all) == nil && string(value) != "null" {
		m.Network = Network{All: all}
		return nil
	}
	var ports []uint16
	if json.Unmarshal(value, &ports) != nil || ports == nil || slices.Contains(ports, 0) || len(ports) > 64 {
		return errors.New("expected true, false or a list of at most 64 TCP ports")
	}
	m.Network = Network{Ports: ports}
	return nil
}
