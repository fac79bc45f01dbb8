package auth_test

import (
	"strings"
	"testing"

	"longshore/internal/auth"
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
		got, ok := auth.Bearer(header)
		if got != want || ok != (want != "") {
			t.Errorf("Bearer(%q) = %q, %v, want %q", header, got, ok, want)
		}
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	tests := []struct {
		token, want string
		equal       bool
	}{
		{"abc", "abc", true},
		{"abc", "abd", false},
		{"ab", "abc", false},
		{"abcd", "abc", false},
		{"", "abc", false},
		{"abc", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got := auth.Equal(tt.token, tt.want); got != tt.equal {
			t.Errorf("Equal(%q, %q) = %v", tt.token, tt.want, got)
		}
	}
}

// FuzzBearer holds that a token is a part of its header without any space.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  a=b ")
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := auth.Bearer(header)
		if ok != (token != "") || !strings.Contains(header, token) || strings.ContainsAny(token, " \t") {
			t.Fatalf("Bearer(%q) = %q, %v", header, token, ok)
		}
	})
}
