package printable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "",
		"plain text, größer, 日本語, 👩\u200d🚀": "plain text, größer, 日本語, 👩\u200d🚀",
		"می\u200cخواهم":                     "می\u200cخواهم",
		"\x1b]0;pwned\a":                    `\u001b]0;pwned\u0007`,
		"a\r\nfake\trow":                    `a\u000d\u000afake\u0009row`,
		"\u009b31m\x7f\u0085":               `\u009b31m\u007f\u0085`,
		"\x9b31m":                           `\ufffd31m`,
		"a\u202eb\u2066c\u200fd\u061c":      `a\u202eb\u2066c\u200fd\u061c`,
		"a\u2028b\u2029\ufeff":              `a\u2028b\u2029\ufeff`,
		"\U000e0041":                        `\udb40\udc41`,
		"cut \xe2\x80":                      `cut \ufffd\ufffd`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"one":                      "one",
		"a\nb\r\n  c\t\vd\n":       "a b c d",
		"two  spaces stay":         "two  spaces stay",
		"\x1b[2J\u009b\u202e here": `\u001b[2J\u009b\u202e here`,
		"größer\n":                 "größer",
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSprintf(t *testing.T) {
	t.Parallel()
	type name string
	got := Sprintf("%s\t%-4s|%d %v %v\n", name("a\nb"), "c", 3, errors.New("x\x1b"), 2*time.Second)
	if want := "a\\u000ab\tc   |3 x\\u001b 2s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestWriter writes a text in all ways of two and three parts: the outcome is the same.
func TestWriter(t *testing.T) {
	t.Parallel()
	const text = "a\tb\nü\x1b[31m\u202e\U000e0041\x9b\r👩"
	const want = "a\tb\nü\\u001b[31m\\u202e\\udb40\\udc41\\ufffd\\u000d👩"
	for i := range len(text) {
		for j := i; j <= len(text); j++ {
			var out bytes.Buffer
			w := NewWriter(&out)
			for _, part := range []string{text[:i], text[i:j], text[j:]} {
				if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			}
			if err := w.Flush(); err != nil || out.String() != want {
				t.Fatalf("cut at %d and %d: %q, %v", i, j, out.String(), err)
			}
		}
	}
	var out bytes.Buffer
	w := NewWriter(&out)
	_, _ = w.Write([]byte("a\xe2\x80"))
	if err := w.Flush(); err != nil || out.String() != `a\ufffd\ufffd` {
		t.Errorf("a cut end: %q, %v", out.String(), err)
	}
}

// FuzzWriter looks for a text that gets a control character through, or that changes
// the meaning of a string of JSON.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"", "a\x1b", "\u009b\u202e", "\xff\xfe", "\U000e0041"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		w := NewWriter(&out)
		_, _ = w.Write([]byte(s))
		_ = w.Flush()
		for _, got := range []string{out.String(), Text(s)} {
			if i := strings.IndexFunc(got, func(r rune) bool {
				return r != '\n' && r != '\t' &&
					(unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) ||
					r == unicode.ReplacementChar && !strings.ContainsRune(s, r)
			}); i >= 0 {
				t.Fatalf("%q lets %q through", s, got[i:])
			}
		}
		if strings.ContainsAny(Text(s), "\n\t") {
			t.Fatalf("%q has a line end", Text(s))
		}
		var buf bytes.Buffer
		encoder := json.NewEncoder(&buf)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		_, _ = w.Write(buf.Bytes())
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("%q as JSON is %q, %v", s, out.String(), err)
		}
		var plain string
		if err := json.Unmarshal(buf.Bytes(), &plain); err != nil || plain != back {
			t.Fatalf("%q means %q, not %q", out.String(), back, plain)
		}
	})
}

// TestWriterOfMany has goroutines share a Writer, as log and messages do: each call stays whole.
func TestWriterOfMany(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := NewWriter(&out)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				fmt.Fprintf(w, "é\x1b\n")
			}
		})
	}
	wg.Wait()
	if want := strings.Repeat("é\\u001b\n", 800); out.String() != want {
		t.Errorf("%d bytes came out, want %d", out.Len(), len(want))
	}
}
