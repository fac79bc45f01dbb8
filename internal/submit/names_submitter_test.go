package submit_test

import (
	"strings"
	"testing"

	"longshore/internal/submit"
)

// A file's name is kept without what would show as something else.
func TestNameIsKeptPlain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	snap := b.submit(submit.Request{Type: "log.analyze", Input: strings.NewReader("data"), InputSize: 4,
		Filename: "a\x1b[31m\u202egol.exe\n"})
	st, _ := b.start(snap.ID)
	if in := st.Spec.Input; in.Filename != "a[31mgol.exe" {
		t.Errorf("kept %q", in.Filename)
	}
}
