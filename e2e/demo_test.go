//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
)

// TestDemo runs the demo as `make demo` does, with and without a redis-server:
// every job succeeds, progress is seen moving, and nothing is left behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	if _, err := programs(); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	onlyGo := t.TempDir() // a PATH where there is nothing else
	if err := os.Symlink(tool, filepath.Join(onlyGo, "go")); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"with redis-server": os.Getenv("PATH"), "without": onlyGo} {
		t.Run(name, func(t *testing.T) {
			if path != onlyGo && !redistest.Real() {
				t.Skip("there is no redis-server on PATH")
			}
			temp, home := t.TempDir(), t.TempDir()
			mark := "DEMO_TEST=" + filepath.Base(filepath.Dir(temp)) + name[:4]
			p := startProgram(t, temp, []string{"PATH=" + path, "HOME=" + home, "TMPDIR=" + temp, mark},
				"dev", "--demo")
			if code := p.end(t, 2*time.Minute); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			said := p.tail(1000)
			if without := strings.Contains(said, "in-memory stand-in"); without != (path == onlyGo) {
				t.Errorf("says that a stand-in serves: %v", without)
			}
			if n := progressSteps(said); n < 3 {
				t.Errorf("%d steps of progress on the large file", n)
			}
			_, table, _ := strings.Cut(said, "WHAT ")
			if rows := strings.Count(table, " succeeded "); rows < 7 || strings.Contains(table, " failed ") {
				t.Errorf("%d jobs in the table succeeded", rows)
			}
			if t.Failed() {
				t.Log(said)
			}
			if left := processesWith(t, mark); len(left) > 0 {
				t.Errorf("processes left: %v", left)
			}
			for _, folder := range []string{temp, home} {
				entries, err := os.ReadDir(folder)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if e.Name() != ".cache" && e.Name() != ".config" { // the go command's own
						t.Errorf("left in its folder: %s", e.Name())
					}
				}
			}
		})
	}
}

// progressSteps counts the different fractions that were shown of the large
// log, between nothing and all.
func progressSteps(said string) int {
	_, large, _ := strings.Cut(said, "\nan access log of ")
	large, _, _ = strings.Cut(large, "\n\n")
	steps := map[string]bool{}
	for line := range strings.Lines(large) {
		if !strings.Contains(line, " running ") {
			continue
		}
		before, _, ok := strings.Cut(line, " %")
		if fields := strings.Fields(before); ok && fields[len(fields)-1] != "0" &&
			fields[len(fields)-1] != "100" {
			steps[fields[len(fields)-1]] = true
		}
	}
	return len(steps)
}

// processesWith lists processes whose environment holds a mark.
func processesWith(t *testing.T, mark string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // it may have ended
		if strings.Contains(string(env), mark) {
			command, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
