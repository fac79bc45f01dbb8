package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkStart measures how long a shell waits for the program, as a release builds it, beside the smallest
// program there is: for its version, and for a job of a server on this machine.
func BenchmarkStart(b *testing.B) {
	folder := b.TempDir()
	hello := filepath.Join(folder, "hello.go")
	if err := os.WriteFile(hello, []byte("package main\n\nfunc main() { println(\"hello\") }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, source := range map[string]string{"hello": hello, "enqueue": "."} {
		build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o",
			filepath.Join(folder, name), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	const id = "0199c0de-0000-7000-8000-000000000001"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"`+id+`","type":"math.primes","state":"queued","rev":1}`)
	}))
	defer server.Close()
	for _, command := range []string{"hello", "enqueue --version", "enqueue get " + id} {
		b.Run(strings.ReplaceAll(strings.TrimSuffix(command, " "+id), " ", "_"), func(b *testing.B) {
			args := strings.Fields(command)
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), filepath.Join(folder, args[0]), args[1:]...)
				cmd.Env = []string{"LONGSHORE_URL=" + server.URL}
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%s: %v\n%s", command, err, out)
				}
			}
		})
	}
}
