// Package printable shows text of strangers: names, messages and results that come
// from clients, handlers and servers may hold what steers a terminal (escape
// sequences that set titles, colours or the clipboard), forges rows (line ends), or
// turns the order of what is read (bidirectional controls). Here each such character
// becomes its escape \uXXXX, which within a string of JSON means the same.
package printable

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// harmful reports whether a character is shown as its escape. Joiners stay: scripts
// and emoji are written with them.
func harmful(r rune) bool {
	switch {
	case r < ' ', r >= 0x7F && r <= 0x9F: // C0, DEL and C1
		return true
	case r < 0x061C:
		return false
	// bidirectional
	case r == 0x061C, r == 0x200E, r == 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return true
	case r == 0x2028, r == 0x2029: // ends of lines and of paragraphs
		return true
	case r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFB, r >= 0xE0000 && r <= 0xE007F: // not seen at all
		return true
	}
	return false
}

// Text shows one text that stands within a line, so line ends and tabs are escaped
// too. What is no UTF-8 becomes \ufffd.
func Text(s string) string {
	if plain(s) {
		return s
	}
	return string(appendText(make([]byte, 0, len(s)+16), []byte(s), ""))
}

// Line is Text for a message that may have been written in several lines: their ends,
// with the white space around them, become one space.
func Line(s string) string {
	if plain(s) {
		return s
	}
	return Text(lineEnds.ReplaceAllLiteralString(strings.TrimSpace(s), " "))
}

// FileName reports whether a name is a plain file name of at most 255 bytes: nothing
// that could lead out of a folder or confuse a header or a terminal, so no paths, no
// dot names, no invalid UTF-8, no controls, those that turn the order of what is read
// among them.
func FileName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsAny(name, `/\`) && Text(name) == name
}

var lineEnds = regexp.MustCompile(`[ \t-\r]*[\t-\r][ \t-\r]*`)

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7F {
			return false
		}
	}
	return true
}

// appendText appends text with what is harmful escaped, but for the controls in keep.
func appendText(to, text []byte, keep string) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			to = append(to, `\ufffd`...)
		case !harmful(r), r < ' ' && strings.IndexByte(keep, byte(r)) >= 0:
			to = append(to, text[:size]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			to = fmt.Appendf(to, `\u%04x\u%04x`, high, low)
		default:
			to = fmt.Appendf(to, `\u%04x`, r)
		}
		text = text[size:]
	}
	return to
}

// Sprintf formats as fmt does, with each argument that is a text, an error or a
// Stringer shown by Text. The format is the program's own, and stays as it is.
func Sprintf(format string, args ...any) string {
	shown := make([]any, len(args))
	for i, arg := range args {
		shown[i] = show(arg)
	}
	return fmt.Sprintf(format, shown...)
}

// Fprintf is Sprintf to a writer.
func Fprintf(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, Sprintf(format, args...)) // as with fmt, who wants the error writes by itself
}

func show(arg any) any {
	switch v := arg.(type) {
	case string:
		return Text(v)
	case error:
		return Text(v.Error())
	case fmt.Stringer:
		return Text(v.String())
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return Text(v.String())
	}
	return arg
}

// A Writer lets through only what a terminal shows as it is: it escapes the rest, but
// for line ends and tabs. It is the last gate of a program's output; what stands
// within a line goes through Text before. It may be used by several goroutines, as
// what a program says and what it logs go to one place.
type Writer struct {
	out io.Writer

	mu   sync.Mutex
	rest []byte // begin of a character whose end has not come
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes p on, each call as one.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.rest) > 0 {
		text = append(w.rest, p...)
		w.rest = nil
	}
	if cut := partial(text); cut > 0 {
		w.rest = bytes.Clone(text[len(text)-cut:])
		text = text[:len(text)-cut]
	}
	if err := w.pass(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what waits for its end.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.rest
	w.rest = nil
	return w.pass(text)
}

func (w *Writer) pass(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if !clean(text) {
		text = appendText(make([]byte, 0, len(text)+64), text, "\n\t")
	}
	_, err := w.out.Write(text)
	return err
}

func clean(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7F {
			return false
		}
	}
	return true
}

// partial is how many bytes at the end begin a character without ending it.
func partial(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
