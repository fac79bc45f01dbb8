package blob

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxName is the length limit of a blob's name, in bytes; one element of it may
// have 255, as in most file systems.
const (
	MaxName    = 1024
	maxElement = 255
)

// CheckName returns an error that wraps ErrBadName unless name is one that
// Create takes: at least two elements ("<job>/in"), each of them fit to be the
// name of a file.
func CheckName(name string) error {
	if !strings.Contains(name, "/") {
		return fmt.Errorf("%w: %q has no job before a slash", ErrBadName, name)
	}
	return CheckPrefix(name)
}

// CheckPrefix is CheckName for what Delete takes: one element ("<job>") is enough.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxName {
		return fmt.Errorf("%w: it has more than %d bytes", ErrBadName, MaxName)
	}
	for element := range strings.SplitSeq(prefix, "/") {
		if why := badElement(element); why != "" {
			return fmt.Errorf("%w: %q has %s", ErrBadName, prefix, why)
		}
	}
	return nil
}

// badElement says what is wrong with one element of a name, or "".
func badElement(e string) string {
	switch {
	case e == "":
		return "an empty element"
	case e == "." || e == "..":
		return "a dot for an element"
	case len(e) > maxElement:
		return "an element that is too long"
	case !utf8.ValidString(e):
		return "invalid UTF-8"
	}
	for _, r := range e {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\\' {
			return "a control character or a backslash"
		}
	}
	return ""
}
