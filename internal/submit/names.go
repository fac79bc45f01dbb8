package submit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainName is what is kept of a text that a client says of its file, a name or a
// media type. What moves a terminal's cursor or turns the direction of writing has
// no place in it: a log or a page that shows it later would show something else.
func plainName(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f {
			return strings.Map(func(c rune) rune {
				if unicode.IsControl(c) || turns(c) {
					return -1
				}
				return c
			}, strings.ToValidUTF8(text, string(utf8.RuneError)))
		}
	}
	return text
}

// turns reports whether a character is a line end or changes the direction of writing
// (Unicode's Bidi_Control).
func turns(c rune) bool {
	return c == 0x061c || c == 0x200e || c == 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2066 &&
		c <= 0x2069
}
