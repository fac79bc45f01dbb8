package access_test

import (
	"strings"
	"testing"

	"longshore/internal/access"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer abc":      "abc",
		"bearer abc":      "abc",
		"BEARER  abc ":    "abc",
		"Bearer a.b-c_~=": "a.b-c_~=",
		"":                "",
		"Bearer":          "",
		"Bearer ":         "",
		"Bearer    ":      "",
		"Bearer a b":      "",
		"Bearer a\tb":     "",
		"Basic abc":       "",
		"Bearerabc":       "",
		" Bearer abc":     "",
		"abc":             "",
	} {
		got, ok := access.Bearer(header)
		if got != want || ok != (want != "") {
			t.Errorf("Bearer(%q) = %q, %v, want %q", header, got, ok, want)
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header, want string
		fits         bool
	}{
		{"Bearer abc", "abc", true},
		{"bearer  abc ", "abc", true},
		{"Bearer abd", "abc", false},
		{"Bearer ab", "abc", false},
		{"Bearer abcd", "abc", false},
		{"Basic abc", "abc", false},
		{"abc", "abc", false},
		{"Bearer ", "abc", false},
		{"", "abc", false},
		{"Bearer abc", "", false},
		{"Bearer ", "", false},
		{"", "", false},
	} {
		sent, ok := access.Bearer(c.header)
		if got := access.NewToken(c.want).Is(sent) && ok; got != c.fits {
			t.Errorf("token %q, %q: %v", c.want, c.header, got)
		}
	}
	if (access.Token{}).Is("") {
		t.Error("the zero token fits")
	}
}

// FuzzBearer holds that a token is a part of its header without any space.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  a=b ")
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := access.Bearer(header)
		if ok != (token != "") || !strings.Contains(header, token) || strings.ContainsAny(token, " \t") {
			t.Fatalf("Bearer(%q) = %q, %v", header, token, ok)
		}
	})
}
