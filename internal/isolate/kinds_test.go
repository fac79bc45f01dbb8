package isolate

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestWorkNamesItsChild holds that a piece of work gets the kind of process that it
// names, and the next one the pool's again.
func TestWorkNamesItsChild(t *testing.T) {
	t.Setenv("KIND_TEST_A", "a")
	t.Setenv("KIND_TEST_B", "b")
	p := open(t, Config{Child: Child{Env: []string{"KIND_TEST_A"}}})
	has := func(k *Child, want ...string) (pid int) {
		t.Helper()
		r, err := p.Run(t.Context(), Work{Body: []byte("environment"), Child: k})
		if err != nil {
			t.Fatal(err)
		}
		var env, got []string
		if err := json.Unmarshal(r.Body, &env); err != nil {
			t.Fatal(err)
		}
		for _, v := range env {
			if strings.HasPrefix(v, "KIND_TEST_") {
				got = append(got, v)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("child of kind %+v has %v, want %v", k, got, want)
		}
		return first(p).family.Head()
	}
	other := &Child{Env: []string{"KIND_TEST_B"}}
	warm := has(nil, "KIND_TEST_A=a")
	if again := has(nil, "KIND_TEST_A=a"); again != warm {
		t.Errorf("child %d after %d of one kind", again, warm)
	}
	second := has(other, "KIND_TEST_B=b")
	if second == warm {
		t.Error("the child of another kind is the same process")
	}
	if again := has(&Child{Env: []string{"KIND_TEST_B"}}, "KIND_TEST_B=b"); again != second {
		t.Errorf("child %d after %d of one kind", again, second)
	}
	has(nil, "KIND_TEST_A=a")

	// A kind that can't be started is the work's trouble alone.
	_, err := p.Run(t.Context(), Work{Body: []byte("pid"), Child: &Child{Program: t.TempDir() + "/none"}})
	if !errors.Is(err, ErrStart) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	has(nil, "KIND_TEST_A=a")
}
