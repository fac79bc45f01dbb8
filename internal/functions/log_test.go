package functions

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestLinesWrittenOver holds that of a progress bar only the newest state is a line, however
// what was written comes in pieces, and that nothing else is lost by it.
func TestLinesWrittenOver(t *testing.T) {
	t.Parallel()
	var bar strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&bar, "\r%d %%", i)
	}
	for text, want := range map[string][]string{
		"first\n" + bar.String() + "\nerror\n":       {"first", "9999 %", "error"},
		"a\r\nb\r\n\r\nc\r":                          {"a", "b", "c"},
		"50 %\r100 %\r\r\nend":                       {"100 %", "end"},
		strings.Repeat("x", 2*MaxLine) + "\rshort\n": {"short"},
		"gone\r   \rnext\n":                          {"next"},
	} {
		for _, piece := range []int{1, 3, len(text)} {
			var got []string
			w := LogWriter{Log: func(l Line) { got = append(got, l.Text) }}
			for chunk := range slices.Chunk([]byte(text), piece) {
				if n, err := w.Write(chunk); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
			if last := w.Flush(); last != want[len(want)-1] || !slices.Equal(got, want) {
				t.Errorf("%.40q in pieces of %d: %.200q, last %.40q; want %q", text, piece, got, last, want)
			}
		}
	}
}
