package jq

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// AppendString appends s as a JSON string. Only what must be escaped is;
// bytes that are not UTF-8 become U+FFFD.
func AppendString[T ~string | ~[]byte](to []byte, s T) []byte {
	to = append(to, '"')
	to, _ = AppendQuoted(to, []byte(s))
	return append(to, '"')
}

// AppendQuoted is AppendString without the quotes. clean is false if bytes had
// to be replaced.
func AppendQuoted(to, s []byte) (quoted []byte, clean bool) {
	clean = true
	for len(s) > 0 {
		n := plainPrefix(s)
		to = append(to, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		if c := s[0]; c < utf8.RuneSelf {
			to = AppendEscaped(to, c)
			s = s[1:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		if r == utf8.RuneError && n == 1 {
			clean = false
			to = append(to, "\uFFFD"...)
		} else {
			to = append(to, s[:n]...)
		}
		s = s[n:]
	}
	return to, clean
}

// plainPrefix returns how many bytes at the front of s are ASCII that a JSON
// string holds as it is.
func plainPrefix(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:])
		if m := Special(x) | x&highBits; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

const hexDigits = "0123456789abcdef"

// AppendEscaped appends the escape of a quote, a backslash or a control
// character, and any other ASCII character as it is.
func AppendEscaped(to []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(to, '\\', c)
	case '\n':
		return append(to, '\\', 'n')
	case '\r':
		return append(to, '\\', 'r')
	case '\t':
		return append(to, '\\', 't')
	case '\b':
		return append(to, '\\', 'b')
	case '\f':
		return append(to, '\\', 'f')
	}
	if c < ' ' {
		return append(to, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(to, c)
}
