package family

import (
	"os/exec"
	"runtime"
	"testing"
)

// TestOlderChildrenAreNone holds that a child of this process which is older than a family, as the
// guard is, does not have each end of a family look at all processes of the machine, and that a
// younger one does.
func TestOlderChildrenAreNone(t *testing.T) {
	older := exec.Command("sleep", "300")
	if err := older.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = older.Process.Kill()
		_ = older.Wait()
	}()
	for at := ticks(); ticks() <= at; { // the kernel's clock of processes goes on
		runtime.Gosched()
	}
	run := func() *Family {
		t.Helper()
		f, err := Spawn(exec.Command("true"), "test", func(start func() error) error { return start() })
		if err != nil {
			t.Fatal(err)
		}
		<-f.Gone()
		return f
	}
	f := run()
	if f.mayBeLeft() {
		t.Error("an older child counts as left behind")
	}
	younger := exec.Command("sleep", "300")
	if err := younger.Start(); err != nil {
		t.Fatal(err)
	}
	if !f.mayBeLeft() {
		t.Error("a younger child does not count")
	}
	_ = younger.Process.Kill()
	_ = younger.Wait()
}
