package host

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/internal/functions"
	"longshore/internal/sandbox"
	"longshore/job"
)

// held counts how often a copy was let go, and notes one that is used after that.
type held struct{ closed atomic.Int64 }

func (h *held) Close() error {
	h.closed.Add(1)
	return nil
}

func openSet(t *testing.T, folder string) *Set {
	t.Helper()
	return Open(Config{Folder: folder, Host: functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 2},
		Memory: 512 << 20, MaxOutput: 8 << 20, KillGrace: time.Second, Base: t.TempDir(), Getenv: os.Getenv,
		Log: slog.New(slog.DiscardHandler)}})
}

// deployedOne is a deployed function, with what counts its ends.
func deployedOne(t *testing.T, typ string, version int64) (*functions.Function, *held) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), typ)
	writeFile(t, filepath.Join(folder, "main.sh"), "echo 1")
	f, faults := (&functions.Loader{Path: "/usr/bin:/bin"}).LoadOne(folder)
	if faults != nil {
		t.Fatal(faults)
	}
	hold := &held{}
	f.Version, f.SHA256, f.Hold = version, "x", hold
	return f, hold
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFolderOverDeployed has a folder come before a deployed function of the same type and go
// again, while somebody runs whatever is served: the deployed one's copy is let go once, when
// it is deployed no more and runs no more.
func TestFolderOverDeployed(t *testing.T) {
	t.Parallel()
	if !sandbox.Files() {
		t.Skip("this system has no Landlock")
	}
	functionsDir := t.TempDir()
	folder := filepath.Join(functionsDir, "a.b")
	s := openSet(t, functionsDir)
	f, hold := deployedOne(t, "a.b", 3)
	version := func(want int64) {
		t.Helper()
		u := s.Use("a.b")
		if u == nil {
			t.Fatalf("nobody serves it; want version %d", want)
		}
		defer u.End()
		if u.Function.Version != want {
			t.Fatalf("version %d is served, want %d", u.Function.Version, want)
		}
		if want > 0 && hold.closed.Load() > 0 {
			t.Fatal("the copy of what is served was let go")
		}
	}
	s.SetDeployed([]*functions.Function{f})
	version(3)
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if u := s.Use("a.b"); u != nil {
					if u.Function == f && hold.closed.Load() > 0 {
						t.Error("somebody runs what was let go")
					}
					u.End()
				}
			}
		})
	}
	for range 3 {
		writeFile(t, filepath.Join(folder, "main.sh"), "echo 2")
		s.load()
		version(0)
		if !s.Serves("a.b", 3) {
			t.Error("the folder does not stand for it")
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		s.load()
		version(3)
	}
	close(stop)
	users.Wait()
	last := s.Use("a.b")
	s.SetDeployed(nil)
	if hold.closed.Load() != 0 {
		t.Error("the copy was let go while somebody runs it")
	}
	last.End()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := hold.closed.Load(); n != 1 {
		t.Errorf("the copy was let go %d times", n)
	}
}

// TestDeployedThatCantBeOpened holds that the copy of one that can't be served is let go at
// once, and once, whatever comes after it.
func TestDeployedThatCantBeOpened(t *testing.T) {
	t.Parallel()
	s := openSet(t, "")
	f, hold := deployedOne(t, "a.b", 1)
	f.Manifest.Mode = "none"
	good, other := deployedOne(t, "c.d", 1)
	s.SetDeployed([]*functions.Function{f, good})
	if s.Serves("a.b", 1) || hold.closed.Load() != 1 {
		t.Errorf("served: %t, let go %d times", s.Serves("a.b", 1), hold.closed.Load())
	}
	s.SetDeployed([]*functions.Function{good})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if hold.closed.Load() != 1 || other.closed.Load() != 1 {
		t.Errorf("let go %d and %d times", hold.closed.Load(), other.closed.Load())
	}
}

// TestGoBeforeFolder holds that no folder serves a type that Go code has, and that it is said.
func TestGoBeforeFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.b", "main.sh"), "echo 1")
	writeFile(t, filepath.Join(dir, "c.d", "main.sh"), "echo 1")
	s := Open(Config{Folder: dir, Taken: func(typ string) bool { return typ == "a.b" },
		Host: functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 1}, Memory: 512 << 20, Getenv: os.Getenv,
			Base: t.TempDir(), Log: slog.New(slog.DiscardHandler)}})
	faults := s.Faults()
	if got := s.Types(); len(got) != 1 || got[0] != "c.d" || len(faults) != 1 ||
		!strings.Contains(faults[0].Error(), "a.b is served by Go code") {
		t.Errorf("served are %v, faults %v", got, faults)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
