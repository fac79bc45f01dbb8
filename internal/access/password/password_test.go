package password

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	t.Parallel()
	h := New()
	hash, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	other, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || other == hash {
		t.Errorf("two hashes are equal: %v", err)
	}
	for hash, password := range map[string]string{hash: "correct horse batterz", "": ""} {
		if ok, err := h.Fits(t.Context(), hash, password); ok || err != nil {
			t.Errorf("%q fits %q: %v", password, hash, err)
		}
	}
	if ok, err := h.Fits(t.Context(), hash, "correct horse battery"); !ok || err != nil {
		t.Errorf("the password doesn't fit: %v", err)
	}
	for _, broken := range []string{"x", hash[:20], strings.Replace(hash, "m=19456", "m=99999999", 1),
		strings.Replace(hash, "argon2id", "argon2i", 1)} {
		if _, err := h.Fits(t.Context(), broken, "x"); err == nil {
			t.Errorf("%s was taken", broken)
		}
	}
}

// TestBusy holds that no more are hashed at once than the memory is meant for.
func TestBusy(t *testing.T) {
	t.Parallel()
	h := New()
	for range atOnce {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Fits(ctx, "", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("who goes: %v", err)
	}
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("who waits: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]string{
		"short": "short", "aaaaaaaaaaaaaaaa": "different", "Password1234!": "many",
		"sunshine2024!!": "many", "ada.lovelace77": "e-mail", "Longshore2026": "what",
		strings.Repeat("abcdefgh", 20): "long", "\xff\xfe\xfdabcdefghijkl": "text",
		"correct horse battery": "", "přílišžluťoučký": "",
	} {
		if got := Check(password, "ada.lovelace@example.com"); want == "" && got != "" ||
			!strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", password, got, want)
		}
	}
}
