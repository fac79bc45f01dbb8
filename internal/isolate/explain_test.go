package isolate

import "testing"

// TestOutOfMemoryWords holds what a Go program says that was refused memory
// apart from what others say that end with the same code.
func TestOutOfMemoryWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"fatal error: runtime: out of memory\n\nruntime stack:":                                      true,
		"fatal error: out of memory allocating heap arena metadata\n":                                true,
		"fatal error: runtime: cannot allocate memory\n":                                             true,
		"SIGSEGV: segmentation violation\nPC=0x433a9d m=0 sigcode=1 addr=0x0\n\ngoroutine 0 gp=0x1c": true,
		"SIGSEGV: segmentation violation\nPC=0x433a9d m=0 sigcode=1 addr=0x0\n\ngoroutine 7 gp=0x1c": false,
		"panic: out of memory\n\ngoroutine 1 [running]:":                                             false,
		"fatal error: all goroutines are asleep - deadlock!\n":                                       false,
	} {
		got := false
		for _, o := range outOfMemory {
			got = got || o.exit == 2 && o.words.MatchString(text)
		}
		if got != want {
			t.Errorf("%q: out of memory is %t", text, got)
		}
	}
}
