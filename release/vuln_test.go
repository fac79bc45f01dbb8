package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVulnScript tries what make vuln does with each way in which govulncheck ends.
func TestVulnScript(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		code   int
		says   string
	}{
		"clean": {"echo looking; echo No vulnerabilities found.", 0, "No vulnerabilities found."},
		"found": {"echo 'Vulnerability 1: dial tcp'; exit 3", 3, "Vulnerability 1"},
		"unreachable": {"echo 'govulncheck: fetching vulnerabilities: no such host' >&2; exit 1", 0,
			"not checked"},
		"late":   {"exit 124", 0, "not checked"},
		"broken": {"echo 'govulncheck: loading packages: no'; exit 1", 1, "loading packages"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool := filepath.Join(t.TempDir(), "tool.sh")
			if err := os.WriteFile(tool, []byte(c.script+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "../tools/vuln.sh", "sh", tool)
			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
				t.Errorf("exit code %d, want %d: %s", cmd.ProcessState.ExitCode(), c.code, out)
			}
		})
	}
}
