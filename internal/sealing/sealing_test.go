package sealing_test

import (
	"errors"
	"strings"
	"testing"

	"longshore/internal/sealing"
)

const one, two = "a-secret-for-tests-of-32-characters", "another-secret-of-32-characters-here"

func sealer(t *testing.T, secrets ...string) *sealing.Sealer {
	t.Helper()
	s, err := sealing.New("tests", secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSeal opens what was sealed, with either key, and nothing that was sealed for another place or purpose.
func TestSeal(t *testing.T) {
	t.Parallel()
	s := sealer(t, one)
	sealed := s.Seal("here", "the text")
	if strings.Contains(sealed, "text") || sealed == s.Seal("here", "the text") {
		t.Errorf("sealed as %s", sealed)
	}
	if text, err := sealer(t, two, one).Open("here", sealed); err != nil || text != "the text" {
		t.Error(text, err)
	}
	if _, err := s.Open("there", sealed); !errors.Is(err, sealing.ErrBroken) {
		t.Errorf("at another place: %v", err)
	}
	if _, err := s.Open("here", sealed[:len(sealed)-2]); !errors.Is(err, sealing.ErrBroken) {
		t.Errorf("cut: %v", err)
	}
	for name, other := range map[string]*sealing.Sealer{"another secret": sealer(t, two), "none": nil} {
		if _, err := other.Open("here", sealed); !errors.Is(err, sealing.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if other, _ := sealing.New("another purpose", one); other != nil {
		if _, err := other.Open("here", sealed); !errors.Is(err, sealing.ErrKey) {
			t.Errorf("for another purpose: %v", err)
		}
	}
	if s.Digest("a", "x") != sealer(t, one, two).Digest("a", "x") || s.Digest("a", "x") == s.Digest("a", "y") ||
		s.Digest("a", "x") == sealer(t, two).Digest("a", "x") {
		t.Error("digests")
	}
}

// TestPayload seals values of each kind, wherever they lie, and opens them as they were.
func TestPayload(t *testing.T) {
	t.Parallel()
	s := sealer(t, one)
	const payload = `{"a/b":"x","list":[{"pin":1},{"pin":12345678901234567890}],"nil":null,"plain":1.50}`
	places := []string{"/a~1b", "/list/1/pin", "/nil"}
	sealed, digest, err := s.Payload("a.type", []byte(payload), places)
	if err != nil || strings.Contains(string(sealed), "12345678901234567890") || string(sealed) == string(digest) {
		t.Fatalf("%s, %v", sealed, err)
	}
	if open, err := s.OpenPayload("a.type", sealed, places); err != nil || string(open) != payload {
		t.Errorf("%s, %v", open, err)
	}
	if _, err := s.OpenPayload("b.type", sealed, places); !errors.Is(err, sealing.ErrBroken) {
		t.Errorf("of another type: %v", err)
	}
	if _, again, _ := s.Payload("a.type", []byte(payload), places); string(again) != string(digest) {
		t.Error("a repeat has another digest")
	}
	if got := string(sealing.Hide(sealed, places)); got !=
		`{"a/b":"•••","list":[{"pin":1},{"pin":"•••"}],"nil":"•••","plain":1.50}` {
		t.Error(got)
	}
	if got := string(sealing.Hide(sealed, []string{"/none"})); got != `{}` {
		t.Errorf("what can't be read is shown: %s", got)
	}
}
