//go:build linux

package e2e

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
)

// TestChaos strikes built programs for a while and has the history judged: docs/reliability.md.
// It is alone among these tests, for some of what it judges is time.
func TestChaos(t *testing.T) { //nolint:paralleltest // see above
	if testing.Short() {
		t.Skip("takes a minute")
	}
	if !redistest.Real() {
		t.Skip("needs a redis-server")
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := goBuild("..", dir+"/", "./internal/chaos").CombinedOutput(); err != nil {
		t.Fatalf("build chaos: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "chaos"), "run", "-duration", "40s", "-rate", "8",
		"-programs", dir, "-dir", t.TempDir(), "-faults",
		"worker.kill,redis.kill,net.cut,redis.pubsub,web.kill,rolling")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error("chaos: ", err)
	}
}
