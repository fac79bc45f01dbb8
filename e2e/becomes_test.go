//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/job"
)

// TestClientAlone has enqueue without the program worker: it does all that a server does, and says
// what it lacks for Redis itself.
func TestClientAlone(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "enqueue"))
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "enqueue")
	if err := os.WriteFile(alone, text, 0o755); err != nil {
		t.Fatal(err)
	}
	over := []string{"LONGSHORE_URL=" + url, "REDIS_URL=", "PATH=/nowhere"}
	within := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL=", "PATH=/nowhere")
	const lacks = "neither beside enqueue nor on the PATH"
	for _, c := range []struct {
		env    []string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{over, []string{"types", "math.primes"}, 0, "math.primes", ""},
		{within, []string{"types"}, 78, "", lacks},
		{within, []string{"backup", t.TempDir()}, 78, "", lacks},
		{within, []string{"keys", "ls"}, 78, "", lacks},
		{within, []string{"users", "ls"}, 78, "", lacks},
		{within, []string{"doctor"}, 78, "take worker from the same release", ""},
		{within, []string{"doctor", "--fix"}, 78, "", lacks},
		{within, []string{"--version"}, 0, "longshore enqueue", ""},
		{within, []string{"completion", "powershell"}, 0, "enqueue", ""},
		{within, []string{"__complete", "submit", "math"}, 0, ":4", ""},
		{within, []string{"submit"}, 2, "", "accepts between"},
	} {
		code, stdout, stderr := callAt(t, "", c.env, alone, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%q: exit code %d, want %d; stdout %s; stderr %s", c.args, code, c.code, stdout, stderr)
		}
	}
}

// TestBecomesWorker works on Redis itself: stdin, completion and signals are those of the program that
// is there then.
func TestBecomesWorker(t *testing.T) {
	t.Parallel()
	in := install(t)
	direct := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL=")
	code, id, stderr := call(t, "", direct, "enqueue", "submit", "math.primes", "--set", "n=100")
	if id = strings.TrimSpace(id); code != 0 {
		t.Fatalf("submit: exit code %d, %s", code, stderr)
	}
	if code, out, stderr := call(t, id+"\r\n", direct, "enqueue", "watch", "-", "--for", "50ms", "--format",
		"jsonl"); code != 124 || !strings.Contains(out, id) {
		t.Errorf("watch -: exit code %d, %s%s", code, out, stderr)
	}
	if code, out, stderr := call(t, "", direct, "enqueue", "__complete", "submit", "math"); code != 0 ||
		!strings.Contains(out, "math.primes") {
		t.Errorf("completion: exit code %d, %s%s", code, out, stderr)
	}
	p := startProgram(t, "", direct, "enqueue", "wait", id)
	p.await(t, string(job.Queued))
	p.signal(syscall.SIGINT)
	if code := p.end(t, 10*time.Second); code != 130 || len(p.said("enqueue wait "+id)) == 0 {
		t.Errorf("exit code %d, said %s", code, p.tail(5))
	}
}
