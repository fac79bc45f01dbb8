package family

import (
	"errors"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// starter is closed at the test's end.
func starter(t *testing.T) *Starter {
	t.Helper()
	s := NewStarter()
	t.Cleanup(s.Close)
	return s
}

// within waits for a channel to be closed.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(90 * time.Second):
		t.Fatal(what)
	}
}

// TestEnd holds that a family's head is reaped, its output whole and its state known
// once it is gone, and that Kill after that harms nobody.
func TestEnd(t *testing.T) {
	t.Parallel()
	var out Tail
	f, err := starter(t).Start(exec.Command("sh", "-c", "echo out; echo err >&2; exit 3"), "test", &out)
	if err != nil {
		t.Fatal(err)
	}
	within(t, f.Gone(), "the family is not gone")
	within(t, f.Ended(), "the head has not ended")
	if text := string(out.Take()); text != "out\nerr\n" {
		t.Errorf("output is %q", text)
	}
	if s := f.State(); s.ExitCode() != 3 {
		t.Errorf("state is %v", s)
	}
	f.Kill()
}

// TestKill holds that what descends from the head is killed with it, in whatever
// session it hides, while another family lives.
func TestKill(t *testing.T) {
	t.Parallel()
	s := starter(t)
	other, err := s.Start(exec.Command("sleep", "60"), "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Kill()
	script := "sleep 60 & echo $!; "
	want := 2
	if _, err := exec.LookPath("setsid"); err == nil && runtime.GOOS == "linux" {
		script += "setsid sh -c 'echo $$; exec sleep 60' & "
		want++
	}
	read, write := io.Pipe()
	f, err := s.Start(exec.Command("sh", "-c", script+"echo $$; wait"), "test", write)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	var text strings.Builder
	for buf := make([]byte, 100); len(pids) < want; {
		n, err := read.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buf[:n])
		pids = pids[:0]
		for line := range strings.Lines(text.String()) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil &&
				strings.HasSuffix(line, "\n") {
				pids = append(pids, pid)
			}
		}
	}
	if !slices.Contains(pids, f.Head()) {
		t.Errorf("head is %d, the processes %v", f.Head(), pids)
	}
	if f.State() != nil {
		t.Error("a living family has a state")
	}
	if now, _, ok := f.Resident(); !ok || now <= 0 {
		t.Errorf("%d bytes resident, %t", now, ok)
	}
	if f.Below() <= 0 {
		t.Error("the descendants use nothing")
	}
	read.CloseWithError(errors.New("nobody reads on")) // which must not stop the end
	f.Kill()
	for _, pid := range pids {
		if Alive(pid) {
			t.Errorf("process %d lives on", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if ws, ok := f.State().Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("state is %v", f.State())
	}
	if !Alive(other.Head()) {
		t.Error("another family was killed too")
	}
}

// TestStartFails holds that a program that is not there is an error and leaves nothing.
func TestStartFails(t *testing.T) {
	t.Parallel()
	if f, err := starter(t).Start(exec.Command(t.TempDir()+"/none"), "test", io.Discard); err == nil ||
		f != nil {
		t.Errorf("started %v, %v", f, err)
	}
}
