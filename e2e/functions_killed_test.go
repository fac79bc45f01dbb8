//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/client"
)

// worksIn lists the processes whose working directory is in a folder, removed or not.
func worksIn(folder string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if at, err := os.Readlink(dir + "/cwd"); err == nil && strings.HasPrefix(at, folder+"/") {
			pids = append(pids, filepath.Base(dir))
		}
	}
	return pids
}

// TestKilledWorkerLeavesNothing kills a worker by -9 while a function runs whose programs
// have fled to sessions of their own, are deaf to SIGTERM, and have cleared what marks
// them: none lives on, and no work folder stays, though no other worker is started.
func TestKilledWorkerLeavesNothing(t *testing.T) {
	t.Parallel()
	functions, temp := filepath.Join(t.TempDir(), "functions"), t.TempDir()
	write(t, filepath.Join(functions, "left.behind"), map[string]string{"main.sh": `
setsid sh -c 'trap "" TERM HUP INT; sleep 300; exit' &
env -i setsid sleep 301 &
touch a b c
sleep 302
`})
	in := install(t)
	worker := in.start(t, "worker", "FUNCTIONS_DIR="+functions, "TMPDIR="+temp)
	worker.await(t, `"msg":"worker takes jobs"`)
	_, url := in.web(t)
	served(t, url, "left.behind")
	if _, err := clientOf(t, url).Submit(t.Context(), client.Submission{Type: "left.behind",
		Payload: map[string]any{}}); err != nil {
		t.Fatal(err)
	}
	// The main program and its sleep, the deaf one and its sleep, the unmarked one.
	eventually(t, "all of the function runs", func() bool { return len(worksIn(temp)) >= 5 })
	_ = worker.cmd.Process.Kill()
	<-worker.done
	eventually(t, "no process is left", func() bool {
		return len(worksIn(temp)) == 0 && len(processesOf(functions)) == 0
	})
	eventually(t, "no work folder is left", func() bool {
		left, err := filepath.Glob(filepath.Join(temp, "longshore-*"))
		return err == nil && len(left) == 0
	})
}
