package handlers

import (
	"bytes"
	"testing"
)

func TestReadable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain`: "plain", `\"a\\\"`: `"a\"`, `\xd0\xb6`: "ж", `\x0a`: `\x0a`, `\xff`: `\xff`, `\x2`: `\x2`,
		`\q\`:           `\q\`,
		`\xD0\xB6 \x1b`: `\xD0\xB6 \x1b`,
	} {
		if got := readable([]byte(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	long := bytes.Repeat([]byte("é"), 200)
	if got := readable(append([]byte("x"), long...)); len(got) > maxShown+len("…") ||
		got[len(got)-3:] != "…" || got[len(got)-5:len(got)-3] != "é" {
		t.Errorf("long value cut to %q", got)
	}
}
