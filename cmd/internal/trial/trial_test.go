package trial

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/handlers"
	"longshore/internal/functions/starter"
	"longshore/worker"
)

func TestMain(m *testing.M) {
	worker.Main(handlers.BuiltIn()) // in a child process it does not return
	os.Exit(m.Run())
}

// TestTrial lists, checks and runs what a start in sh is, in a folder with a space in its name.
func TestTrial(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "my functions")
	folder, err := starter.Write("sh", root, "hello.world")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		if name == "FUNCTIONS_DIR" {
			return root
		}
		return os.Getenv(name)
	}
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{`"type":"hello.world"`, 0, []string{"ls", "--format", "jsonl"}},
		{"hello.world", 0, []string{"check", folder}},
		{"Hello, Ada!", 0, []string{"run", folder, "--payload", `{"name":"Ada"}`, "--out", out}},
		{"enqueue functions run DIR", 0, []string{"run", "--help"}},
		{"", 2, []string{"run", folder, "--timeout", "-1s"}},
		{"", 2, []string{"run", folder, "--nothing"}},
		{"", 2, []string{"ls", "--format", "xml"}},
		{"", 5, []string{"run", folder + "s"}},
	} {
		var stdout, stderr bytes.Buffer
		err := Run(t.Context(), c.args, env, &stdout, &stderr)
		code := 0
		if own := (*exit)(nil); errors.As(err, &own) {
			code = own.code
		} else if err != nil {
			code = 1
		}
		if code != c.code || !strings.Contains(stdout.String(), c.want) {
			t.Errorf("%v: code %d (%v), stdout %s, stderr %s", c.args, code, err, &stdout, &stderr)
		}
	}
}
