package memory

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is what leakHere leaks.
var kept [][]byte

//go:noinline
func leakHere(n int) {
	for range n {
		kept = append(kept, make([]byte, 64<<10))
	}
}

// TestAlarmNamesTheLeak has this process leak a megabyte a second, by a clock that does not wait, and
// reads the profile as people do.
func TestAlarmNamesTheLeak(t *testing.T) {
	var raised []Alarm
	var taken Profile
	w := New(Config{Raise: func(_ context.Context, a Alarm, p Profile) {
		raised, taken = append(raised, a), p
	}})
	at := time.Duration(0)
	look := func(leak int) {
		leakHere(leak)
		w.look(t.Context(), at)
		at += Every
	}
	for range 5 {
		look(0)
	}
	if len(raised) > 0 {
		t.Fatalf("an idle process: %+v", raised)
	}
	if _, _, ok := w.Alarm(); ok {
		t.Fatal("an alarm that nobody raised")
	}
	began := at
	for len(raised) == 0 && at-began < 2*time.Minute {
		look(5 * 16)
	}
	if took := at - began; len(raised) != 1 || raised[0].Rule != Fast || raised[0].Kind != Heap ||
		took > time.Minute {
		t.Fatalf("%+v after %v", raised, took)
	}
	if a, _, ok := w.Alarm(); !ok || a != raised[0] || w.Alarms() != 1 {
		t.Errorf("%+v %v", a, ok)
	}
	file := filepath.Join(t.TempDir(), "heap")
	if err := os.WriteFile(file, taken.Heap, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-sample_index=inuse_space", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(out), "flat%")
	if lines := strings.Split(table, "\n"); len(lines) < 2 || !strings.Contains(lines[1], "memory.leakHere") {
		t.Errorf("the top is not the leak:\n%s", out)
	}
	if !strings.Contains(string(taken.Goroutines), "TestAlarmNamesTheLeak") {
		t.Error("the goroutines are not told")
	}
	// It goes on, and is told again after an hour, not before.
	for range 15 {
		look(80)
	}
	at += time.Hour - 3*time.Minute
	look(0)
	if len(raised) != 1 {
		t.Errorf("within the hour: %+v", raised)
	}
	at += 3 * time.Minute
	for range 15 {
		look(80)
	}
	if len(raised) != 2 {
		t.Errorf("after the hour: %+v", raised)
	}
	kept = nil
}

// TestLimit crosses a limit, and again once it was well below.
func TestLimit(t *testing.T) {
	t.Parallel()
	var raised []Alarm
	w := New(Config{Limit: 100, Raise: func(_ context.Context, a Alarm, _ Profile) {
		raised = append(raised, a)
	}})
	now := numbers{}
	w.read = func() numbers { return now }
	for i, rss := range []int64{90, 101, 99, 101, 96, 150, 90, 102, 90, 102} {
		now.rss = rss
		at, want := time.Duration(i)*Every, 0
		if i >= 1 {
			want = 1
		}
		if i == 9 { // once an hour, however often it swings
			at, want = quiet+Every, 2
		}
		w.look(t.Context(), at)
		if len(raised) != want {
			t.Fatalf("%d bytes: raised %+v", rss, raised)
		}
	}
	if a := raised[0]; a.Rule != Limit || a.Bytes != 101 || a.Limit != 100 {
		t.Errorf("%+v", a)
	}
}
