package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKept writes a history and reads it again, also one whose last line was cut off.
func TestKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.jsonl")
	l, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Add(Event{Kind: Submit, Key: "a"})
	l.Add(Event{T: l.At(Clock()), Kind: Ack, Key: "a", Job: "j", Status: 202})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{string(text), string(text) + `{"t":12,"ki`} {
		got, err := Read(strings.NewReader(kept))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l.Events(), got); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
	}
	if _, err := Read(strings.NewReader("no json\n")); err == nil {
		t.Error("what is no history is read")
	}
}
