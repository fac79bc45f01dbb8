package longshore

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependOnCheckout runs the README's lines about a module of one's own: a program
// in it then builds upon the public packages.
func TestDependOnCheckout(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```bash\n(go mod edit.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md says nothing of go mod edit")
	}
	lines := strings.Split(strings.TrimSpace(string(block[1])), "\n")
	if len(lines) != 2 {
		t.Fatalf("README.md needs %d lines for it", len(lines))
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := "package main\n\nimport (\n\t\"" + module + "/handlers\"\n\t\"" + module + "/worker\"\n)\n\n" +
		"func main() { worker.Main(handlers.BuiltIn()) }\n"
	for name, text := range map[string]string{"go.mod": "module example.com/mine\n\ngo 1.26\n",
		"main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range append(lines, "go list -deps .") {
		args := strings.Fields(strings.Replace(line, "../longshore", root, 1))
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		// what it needs is in this module's go.sum
		cmd.Env = append(os.Environ(), "GOSUMDB=off", "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}
