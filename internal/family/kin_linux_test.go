package family

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestOrphansAreReaped holds that a process which was given to us, and of which
// nobody here knows, does not stay a zombie: the worker may be process 1.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("setsid", "-f", "sh", "-c", "echo $$").Output()
	if err != nil {
		t.Skip("needs setsid: ", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for patience := time.After(60 * time.Second); ; {
		if p, ok := lookUp(pid); ok && p.zombie && p.parent == os.Getpid() {
			break
		}
		select {
		case <-patience:
			t.Fatal("the orphan is not ours")
		case <-time.After(time.Millisecond):
		}
	}
	seen := reapSeen(nil)
	if p, ok := lookUp(pid); !ok || !p.zombie {
		t.Fatal("the orphan was reaped at first sight")
	}
	reapSeen(seen)
	if _, ok := lookUp(pid); ok {
		t.Error("the orphan is still there")
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	all := []process{{pid: 5, parent: 4}, {pid: 1}, {pid: 4, parent: 2}, {pid: 2, parent: 1},
		{pid: 3, parent: 1}, {pid: 6, parent: 6}}
	var got []int
	for _, p := range below(all, 2) {
		got = append(got, p.pid)
	}
	if !slices.Equal(got, []int{4, 5}) {
		t.Errorf("below 2: %v", got)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	p, ok := parseStat(7,
		[]byte(
			"7 (a) Z (b) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 20 18446744073709551615\n"))
	want := process{pid: 7, parent: 3, group: 4, session: 5, began: 12345}
	if !ok || p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	if _, ok := parseStat(7, []byte("7 (cut) S 1")); ok {
		t.Error("a cut line was taken")
	}
}
