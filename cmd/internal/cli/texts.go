package cli

import "bytes"

// Editors and shells of Windows begin a text with a mark of its encoding.
var (
	markUTF8 = []byte("\xef\xbb\xbf")
	marks16  = [][]byte{[]byte("\xff\xfe"), []byte("\xfe\xff")}
)

// unmarked is a text without its mark.
func unmarked(text []byte) []byte { return bytes.TrimPrefix(text, markUTF8) }

// inUTF16 tells that a text begins as UTF-16 does, which ">" of Windows PowerShell writes.
func inUTF16(text []byte) bool {
	return bytes.HasPrefix(text, marks16[0]) || bytes.HasPrefix(text, marks16[1])
}
