package jobstore

import (
	"strings"
	"testing"
)

// TestMessagesAreOneLine records what a terminal shows as it is, and not too much of it.
func TestMessagesAreOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                               "plain",
		"a\r\nfake row\x1b]0;t\a\u009b\u202e": `a fake row\u001b]0;t\u0007\u009b\u202e`,
		"\xff":                                `\ufffd`,
		strings.Repeat("x", 1000):             strings.Repeat("x", 1000),
		strings.Repeat("x", 1001):             strings.Repeat("x", 1000) + "…",
		strings.Repeat("ü", 501):              strings.Repeat("ü", 500) + "…",
		"x" + strings.Repeat("ü", 900_000):    "x" + strings.Repeat("ü", 499) + "…",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%.40q: %.60q (%d bytes), want %.60q", in, got, len(got), want)
		}
	}
	if got := oneLine(strings.Repeat("\x1b", 5000)); len(got) > 1003 {
		t.Errorf("%d bytes", len(got))
	}
}
