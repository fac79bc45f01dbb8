//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// devAt starts dev with a folder of functions, and returns its address.
func devAt(t *testing.T, functions string, env ...string) string {
	t.Helper()
	dev := startProgram(t, "",
		append(append(os.Environ(), "PORT=0", "DATA_DIR="+t.TempDir(), "FUNCTIONS_DIR="+functions), env...),
		"dev")
	line := dev.await(t, "Longshore is at http://")
	return "http://" + strings.Fields(strings.TrimPrefix(line, "Longshore is at http://"))[0]
}

// served waits until a type is known.
func served(t *testing.T, url, typ string) {
	t.Helper()
	eventually(t, typ+" is served", func() bool {
		r, err := tryRequest(t, "GET", url+"/v1/types", nil)
		return err == nil && strings.Contains(string(r.body), `"type":"`+typ+`"`)
	})
}

// TestFunctionFirstHour is a new user's way: a function is written, called by curl,
// edited, and the next job shows it, without a restart.
func TestFunctionFirstHour(t *testing.T) {
	t.Parallel()
	for _, need := range []string{"curl", "python3"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip("needs ", need)
		}
	}
	folder := filepath.Join(t.TempDir(), "functions")
	url := devAt(t, folder)
	env := append(os.Environ(), "FUNCTIONS_DIR="+folder, "LONGSHORE_URL="+url)
	if code, _, stderr := call(t, "", env, "enqueue", "functions", "init", "python",
		"hello.world"); code != 0 {
		t.Fatal(code, stderr)
	}
	served(t, url, "hello.world")
	curl := func() string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", "-sf", "-H", "Prefer: wait=20", "-d",
			`{"name":"Ada"}`, url+"/v1/jobs/hello.world").CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		return string(out)
	}
	got := curl()
	for _, want := range []string{`"result":{"greeting":"Hello, Ada!"}`, `"note":"greeted"`,
		`"name":"greeting.txt"`, `"state":"succeeded"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s misses %s", got, want)
		}
	}
	program := filepath.Join(folder, "hello.world", "main.py")
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program,
		[]byte(strings.ReplaceAll(string(text), "Hello, {name}", "Goodbye, {name}")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := curl(); !strings.Contains(got, `"greeting":"Goodbye, Ada!"`) {
		t.Errorf("after the edit: %s", got)
	}
	// What web checks follows too.
	manifest :=
		`{"input": "none", "payload": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 2}}}}`
	if err := os.WriteFile(filepath.Join(folder, "hello.world", "function.json"), []byte(manifest),
		0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new schema holds", func() bool {
		r, err := tryRequest(t, "POST", url+"/v1/jobs/hello.world", strings.NewReader(`{"name":"Ada"}`),
			"Content-Type: application/json")
		return err == nil && r.StatusCode == 422
	})
}
