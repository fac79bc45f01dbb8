// Package tooltest finds programs that tests run beside ours. Where one is
// missing the test is skipped with a word; CI sets LONGSHORE_TEST_TOOLS=required,
// and then it fails, so that a test can't go missing there.
package tooltest

import (
	"os"
	"os/exec"
	"testing"
)

// Path returns where a program is.
func Path(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" on PATH")
	}
	return path
}

// Missing ends a test that can't run without something.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("LONGSHORE_TEST_TOOLS") == "required" {
		t.Fatal("needs ", what)
	}
	t.Skip("needs ", what)
}
