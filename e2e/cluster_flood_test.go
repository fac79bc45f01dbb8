//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"longshore/internal/family"
)

// TestClusterFlood has a child write as fast as it can, and nobody read it: the cluster
// goes on, in little memory, and says what it has dropped.
func TestClusterFlood(t *testing.T) {
	t.Parallel()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	folder := t.TempDir()
	script := "flood: sh -c 'head -c 100000 /dev/zero | tr \"\\\\0\" x; echo; yes flood'\nquiet: sleep 1000\n"
	if err := os.WriteFile(filepath.Join(folder, "Procfile"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "cluster"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, write, write
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PORT=0", "SHUTDOWN_GRACE=1s"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	eventually(t, "both are ready, though nobody reads", func() bool {
		_, out, _ := call(t, "", nil, "cluster", "-procfile", filepath.Join(folder, "Procfile"), "status")
		return strings.Count(out, "ready") == 2
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// Without the pages of the program's file, of which there are more or fewer as the machine has room.
	if own, ok := family.StatusField(status, "RssAnon:"); !ok || own > 32<<20 {
		t.Errorf("%d MiB resident", own>>20)
	} else {
		t.Logf("%d MiB resident", own>>20)
	}
	text := make([]byte, 4<<20)
	n := 0
	for !strings.Contains(string(text[:n]), "lines dropped: they came faster") ||
		!strings.Contains(string(text[:n]), "x … cut\n") {
		got, err := read.Read(text[n:])
		if err != nil || n+got == len(text) {
			t.Fatalf("%d bytes without a word on what was dropped, %v", n, err)
		}
		n += got
		if i := strings.LastIndexByte(string(text[:n]), '\n'); n > 2<<20 && i > 0 &&
			!strings.Contains(string(text[:n]), "cut") {
			t.Fatal("the long line is not there")
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
