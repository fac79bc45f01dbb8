package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inGroup starts a shell in a group, and waits for it.
func inGroup(t *testing.T, g *Group, script string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine
		_, err := g.Start(func() (int, error) {
			if err := cmd.Start(); err != nil {
				return 0, err
			}
			return cmd.Process.Pid, nil
		})
		started <- err
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its state tells
	return cmd, out.String()
}

func openHere(t *testing.T) *Set {
	t.Helper()
	s, err := Open()
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, h := range s.hierarchies {
			if left, _ := filepath.Glob(filepath.Join(h.folder, s.prefix+"*")); len(left) > 0 {
				t.Errorf("groups are left: %v", left)
			}
		}
	})
	return s
}

// TestMemory holds that the kernel ends what takes more memory than its group has, that it is
// counted, and that the group is good for the next.
func TestMemory(t *testing.T) {
	t.Parallel()
	s := openHere(t)
	g, err := s.Get(1, Limits{Memory: 64 << 20, Processes: 100})
	if err != nil {
		t.Fatal(err)
	}
	if cmd, out := inGroup(t, g, "echo 1"); !cmd.ProcessState.Success() || g.Killed() != 0 {
		t.Errorf("%v %s, killed %d", cmd.ProcessState, out, g.Killed())
	}
	cmd, out := inGroup(t, g, "exec dd if=/dev/zero of=/dev/null bs=200M count=1")
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL ||
		g.Killed() != 1 {
		t.Errorf("%v %s, killed %d", cmd.ProcessState, out, g.Killed())
	}
	if g, err = s.Get(1, Limits{Memory: 512 << 20, Processes: 100}); err != nil {
		t.Fatal(err)
	}
	if cmd, out := inGroup(t, g, "exec dd if=/dev/zero of=/dev/null bs=200M count=1"); !cmd.ProcessState.Success() {
		t.Errorf("with a higher limit: %v %s", cmd.ProcessState, out)
	}
	if g, err = s.Get(1, Limits{Memory: 64 << 20, Processes: 100}); err != nil {
		t.Fatal(err)
	}
	if cmd, _ := inGroup(t, g, "exec dd if=/dev/zero of=/dev/null bs=200M count=1"); cmd.ProcessState.Success() {
		t.Error("with the lower limit again it succeeds")
	}
}

// TestProcesses holds that a group has no more processes than it may.
func TestProcesses(t *testing.T) {
	t.Parallel()
	s := openHere(t)
	g, err := s.Get(1, Limits{Memory: 256 << 20, Processes: 10})
	if err != nil {
		t.Fatal(err)
	}
	const script = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 >/dev/null 2>&1 & done`
	if _, out := inGroup(t, g, script); !strings.Contains(out, "fork") {
		t.Errorf("20 were started: %s", out)
	}
	killAll(t, s, g)
}

// killAll ends who is in a group.
func killAll(t *testing.T, s *Set, g *Group) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		text, err := os.ReadFile(filepath.Join(s.hierarchies[len(s.hierarchies)-1].folder, g.name, "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 {
			return
		}
		for word := range strings.FieldsSeq(string(text)) {
			pid := 0
			if _, err := fmt.Sscan(word, &pid); err == nil && pid > 0 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// TestFind holds where groups are made: in the lists as kernels give them.
func TestFind(t *testing.T) {
	t.Parallel()
	delegated := t.TempDir()
	if err := os.WriteFile(filepath.Join(delegated, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const v1 = "30 25 0:26 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n" +
		"31 25 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	const v2 = "30 25 0:26 / %s rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
	for _, c := range []struct{ name, mounts, in, want string }{
		{"version 1", v1, "4:memory:/docker/abc/x\n3:pids:/y\n0::/\n",
			"/sys/fs/cgroup/memory/x /sys/fs/cgroup/pids/y"},
		{"version 2, delegated", fmt.Sprintf(v2, delegated), "0::/longshore\n", delegated},
		{"version 2, of somebody else", fmt.Sprintf(v2, delegated), "0::/other.service\n", "error: DelegateSubgroup=longshore"},
		{"version 2, without controllers", fmt.Sprintf(v2, t.TempDir()), "0::/longshore\n", "error: no such file"},
		{"nothing", "", "0::/\n", "error: is mounted"},
		{"nonsense", "a - b\n\n - \n", "x\n:::\n", "error: is mounted"},
	} {
		found, err := find(c.mounts, c.in)
		if wrong, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, %v", c.name, found, err)
			}
			continue
		}
		var folders []string
		for _, h := range found {
			folders = append(folders, h.folder)
		}
		if got := strings.Join(folders, " "); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

// TestVersion2 goes through the files of version 2, in a folder that stands for a delegated group.
func TestVersion2(t *testing.T) {
	t.Parallel()
	delegated := t.TempDir()
	if err := os.WriteFile(filepath.Join(delegated, "cgroup.controllers"), []byte("memory pids"), 0o600); err != nil {
		t.Fatal(err)
	}
	hierarchies, err := findV2(filepath.Join(delegated, "longshore"))
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(delegated, "longshore-999999999-1-0")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := open(hierarchies)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); err == nil {
		t.Error("the group of a process that is gone is still there")
	}
	g, err := s.Get(7, Limits{Memory: 1 << 20, Processes: 5})
	if err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(delegated, g.name)
	cmd, _ := inGroup(t, g, "exit 3")
	for file, want := range map[string]string{"memory.max": "1048576", "memory.swap.max": "0", "pids.max": "5",
		"memory.oom.group": "1", "cgroup.procs": fmt.Sprint(cmd.Process.Pid),
		"../cgroup.subtree_control": "+memory +pids"} {
		if got, err := os.ReadFile(filepath.Join(group, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", file, got, err, want)
		}
	}
	events := "low 0\noom 2\noom_kill 2\n"
	if err := os.WriteFile(filepath.Join(group, "memory.events"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.Killed() != 2 {
		t.Errorf("killed %d", g.Killed())
	}
}
