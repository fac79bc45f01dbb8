package program

import (
	"context"
	"os/exec"
	"path/filepath"
	"time"

	"longshore/internal/sandbox"
)

// probePatience bounds an interpreter's answer.
const probePatience = 10 * time.Second

// Starts reports whether an interpreter starts in the sandbox: one of a version manager
// may be a script that needs its user's home.
func Starts(path string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-c", "") // as Python and shells have it
	if name := filepath.Base(path); name == "node" || name == "ruby" {
		cmd = exec.CommandContext(ctx, path, "-e", "0")
	}
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	return sandbox.Run(cmd, sandbox.Policy{Whole: true, Read: system(path)}) == nil
}
