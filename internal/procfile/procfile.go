package procfile

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// A Type is one line of a Procfile.
type Type struct {
	Name    string
	Line    int // from 1
	command command
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Parse reads a Procfile's text. file names it in errors, which are of type *Error.
func Parse(file string, text []byte) ([]Type, error) {
	lines, err := split(file, text, maxProcfile)
	if err != nil {
		return nil, err
	}
	var types []Type
	seen := map[string]int{}
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(format string, args ...any) ([]Type, error) {
			return nil, &Error{File: file, Line: i + 1, What: fmt.Sprintf(format, args...)}
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok || !nameForm.MatchString(name) {
			return fail("expected name: command, with a name of letters, digits, - and _")
		}
		if before := seen[name]; before > 0 {
			return fail("%s stands in line %d already", name, before)
		}
		seen[name] = i + 1
		c, err := parseCommand(rest)
		if err != nil {
			return fail("%v", err)
		}
		if !c.program() {
			return fail("%s has no command", name)
		}
		types = append(types, Type{Name: name, Line: i + 1, command: c})
	}
	if len(types) == 0 {
		return nil, &Error{File: file, What: "there is no line name: command in it"}
	}
	return types, nil
}

// split returns the lines of a file, without their ends and a mark of byte order.
func split(file string, text []byte, most int) ([]string, error) {
	if len(text) > most {
		return nil, &Error{File: file, What: fmt.Sprintf("is over %d bytes", most)}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if i := strings.IndexFunc(line, func(r rune) bool {
			return r < ' ' && r != '\t' || r == '\u007f'
		}); i >= 0 {
			return nil, &Error{File: file, Line: len(lines) + 1, What: "has a control character"}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Command returns what a line runs: variables that it sets itself ("NAME=value"), the
// program, and its arguments. getenv tells variables; one that is not set is empty, as in a shell.
func (t Type) Command(getenv func(string) string) (env, args []string) {
	for i, w := range t.command {
		text := w.expand(getenv)
		switch {
		case i < t.command.assignments():
			env = append(env, text)
		case text != "" || w.quoted:
			args = append(args, text)
		}
	}
	return env, args
}
