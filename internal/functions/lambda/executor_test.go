package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/functions/lib"
	"longshore/handlers"
	"longshore/internal/family"
	"longshore/internal/functions"
	"longshore/internal/functions/program"
	"longshore/internal/isolate"
	"longshore/job"
)

// buildGo builds the function in Go once.
var buildGo = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lambda-test-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "run"), ".")
	cmd.Dir = "testdata/go"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return dir, nil
})

// languages are those that the tests try, and how a function in each is made in a folder.
var languages = []struct {
	name string
	make func(t testing.TB, folder string) (command []string)
}{
	{"go", func(t testing.TB, _ string) []string {
		built, err := buildGo()
		if err != nil {
			t.Fatal(err)
		}
		return []string{filepath.Join(built, "run")}
	}},
	{"python", func(t testing.TB, folder string) []string {
		return []string{lookPath(t, "python3"), helper(t, folder, "python", "longshore.py", "app.py"),
			"app.handler"}
	}},
	{"node", func(t testing.TB, folder string) []string {
		return []string{lookPath(t, "node"), helper(t, folder, "node", "longshore.mjs", "app.mjs"),
			"app.handler"}
	}},
}

// lookPath finds an interpreter that starts in the sandbox: that of a version manager may not.
func lookPath(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && program.Starts(path) {
			return path
		}
	}
	if os.Getenv("LONGSHORE_TEST_TOOLS") == "required" {
		t.Fatal("no " + name + " that starts in the sandbox")
	}
	t.Skip("no " + name + " that starts in the sandbox")
	return ""
}

// helper puts a helper of ours and a function into a folder.
func helper(t testing.TB, folder, from, name, app string) string {
	t.Helper()
	text, err := lib.Files.ReadFile(name)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name), text, 0o600)
	}
	if err == nil {
		text, err = os.ReadFile(filepath.Join("testdata", from, app))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, app), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, name)
}

// A bench is an executor of one function.
type bench struct {
	*Executor
	t     testing.TB
	name  string
	run   atomic.Pointer[handlers.Run] // the last one
	files memoryFiles
}

func (b *bench) host() *functions.Host { return b.Executor.host }

func setup(t testing.TB, command []string, folder string, change ...func(*functions.Function,
	*functions.Host)) *bench {
	t.Helper()
	f := &functions.Function{Type: "test.fn", Folder: folder, Command: command,
		Manifest: functions.Manifest{Mode: functions.Lambda, Handler: "app.handler",
			Output: functions.Output{As: functions.OutputAuto}}}
	h := &functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 2}, Memory: 512 << 20, MaxOutput: 1 << 20,
		KillGrace: time.Second, Base: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Getenv: func(string) string { return "" }}
	for _, c := range change {
		c(f, h)
	}
	x := NewPool(2).open(f, h)
	x.waitForWarm = returnPatience // on a busy machine a process takes its time
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{Executor: x, t: t}
}

// A log remembers lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line functions.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line.Text)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// do runs a job whose payload is given as JSON.
func (b *bench) do(ctx context.Context, payload string) (functions.Outcome, *log) {
	b.t.Helper()
	l := &log{}
	b.files.once.Do(func() { b.files.outputs = map[string]string{} })
	run := &handlers.Run{ID: "job-1", Type: "test.fn", Attempt: 2, Files: &b.files,
		InputSize: int64(len(b.files.input))}
	b.run.Store(run)
	a := &functions.Attempt{Run: run, HasInput: b.files.input != "", InputType: "text/plain",
		InputName: "näme\x1b.txt", MaxAttempts: 5, Deadline: time.Now().Add(time.Minute),
		Payload: []byte(payload), Folder: b.t.TempDir(), Log: l.add}
	return b.Executor.Run(ctx, a), l
}

// ok runs a job that must succeed, and reads its result.
func (b *bench) ok(payload string, to any) *log {
	b.t.Helper()
	out, l := b.do(b.t.Context(), payload)
	if out.Err != nil {
		b.t.Fatalf("%s: %v\n%s", payload, out.Err, l.text())
	}
	if to != nil {
		if err := json.Unmarshal(out.Result, to); err != nil {
			b.t.Fatalf("%s: result %q: %v", payload, out.Result, err)
		}
	}
	return l
}

type about struct {
	ID, ARN, Name, TMP, Handler string
	Custom                      map[string]string
	Left                        float64
	PID, Memory                 int
	Env                         []string
}

// each runs a test in each language.
func each(t *testing.T, test func(t *testing.T, command []string, folder string)) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			test(t, l.make(t, folder), folder)
		})
	}
}

func TestConvention(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var echo map[string]any
		b.ok(`{"do":"echo","text":"ünï"}`, &echo)
		if echo["text"] != "ünï" {
			t.Errorf("echo %v", echo)
		}
		var first, second about
		b.ok(`{"do":"about"}`, &first)
		b.ok(`{"do":"about"}`, &second)
		if first.PID != second.PID || first.ID == second.ID || first.ID == "" {
			t.Errorf("processes %d, %d, ids %s, %s", first.PID, second.PID, first.ID, second.ID)
		}
		if first.Name != "test.fn" || first.Memory != 512 || first.Handler != "app.handler" ||
			!strings.HasSuffix(first.ARN, ":function:test.fn") {
			t.Errorf("about %+v", first)
		}
		if first.Left < 50 || first.Left > 60 || first.Custom["job"] != "job-1" ||
			first.Custom["attempt"] != "2" {
			t.Errorf("about %+v", first)
		}
		for _, v := range first.Env {
			if strings.Contains(v, "planted") || strings.HasPrefix(v, "AWS_LAMBDA_MAX_CONCURRENCY") {
				t.Errorf("the process sees %s", v)
			}
		}
		var streamed struct{ Streamed bool }
		if b.ok(`{"do":"stream"}`, &streamed); !streamed.Streamed {
			t.Error("a streamed response is lost")
		}
		if l := b.ok(`{"do":"log"}`, nil); !strings.Contains(l.text(), "to stdout") ||
			!strings.Contains(l.text(), "to stderr") {
			t.Errorf("log %q", l.text())
		}
	})
}

// TestFailures holds what becomes of each way to fail, and that the next job finds a
// process.
func TestFailures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var before, after about
		b.ok(`{"do":"about"}`, &before)
		out, _ := b.do(t.Context(), `{"do":"error"}`)
		if said, _ := Cause(out.Err); said == nil || said.Message != "no luck" || said.Type == "" {
			t.Errorf("error: %v", out.Err)
		}
		out, _ = b.do(t.Context(), `{"do":"fail"}`)
		if f := (*handlers.Failure)(nil); !errors.As(out.Err, &f) || !f.Final ||
			f.Error() != "LongshoreFail: never" {
			t.Errorf("fail: %v", out.Err)
		}
		out, _ = b.do(t.Context(), `{"do":"stream error"}`)
		if out.Err == nil || !strings.Contains(out.Err.Error(), "half way") || out.Result != nil {
			t.Errorf("stream error: %v %q", out.Err, out.Result)
		}
		if b.ok(`{"do":"about"}`, &after); before.PID != after.PID {
			t.Error("the process was replaced after errors of its handler")
		}
		out, l := b.do(t.Context(), `{"do":"exit","n":7}`)
		if d := (*isolate.Death)(nil); !errors.As(out.Err, &d) || d.Exit != 7 ||
			!strings.Contains(l.text(), "last words") || out.LastLine != "last words" {
			t.Errorf("exit: %v, log %q, last line %q", out.Err, l.text(), out.LastLine)
		}
		if b.ok(`{"do":"about"}`, &after); before.PID == after.PID {
			t.Error("a dead process answers")
		}
	})
}

// TestStopped holds that a job whose context ends is over, and its process gone.
func TestStopped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var before about
		b.ok(`{"do":"about"}`, &before)
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		began := time.Now()
		out, _ := b.do(ctx, `{"do":"sleep","n":300000}`)
		if !errors.Is(out.Err, why) || time.Since(began) > 2*time.Minute {
			t.Errorf("stopped with %v after %v", out.Err, time.Since(began))
		}
		for family.Alive(before.PID) {
			if runtime.Gosched(); time.Since(began) > 2*time.Minute {
				t.Fatal("the process lives on")
			}
		}
		b.ok(`{"do":"echo"}`, nil)
	})
}

func TestMemory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder, func(f *functions.Function, _ *functions.Host) {
			f.Manifest.Memory = 200 << 20
		})
		out, _ := b.do(t.Context(), `{"do":"alloc","n":400}`)
		if d := (*isolate.Death)(nil); !errors.As(out.Err, &d) || !d.OutOfMemory {
			t.Errorf("out of memory: %v", out.Err)
		}
	})
}

// TestTidy holds that what a job leaves in its folder is gone for the next one.
func TestTidy(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var tmp string
		if b.ok(`{"do":"litter"}`, &tmp); !strings.HasPrefix(tmp, b.host().Base) {
			t.Errorf("TMPDIR is %s", tmp)
		}
		var n int
		if b.ok(`{"do":"list"}`, &n); n != 1 { // its own
			t.Errorf("%d files in the process's folder", n)
		}
	})
}

// TestLogLater holds that what a process writes between two jobs is in neither's log.
func TestLogLater(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		seen := make(chan string, 10)
		b := setup(t, command, folder, func(_ *functions.Function, h *functions.Host) {
			h.Log = slog.New(slog.NewTextHandler(lineChan(seen), nil))
		})
		first := b.ok(`{"do":"log later","n":100}`, nil)
		for wait := 1000; strings.Contains(first.text(), "too late"); wait *= 4 { // a slow machine
			first = b.ok(fmt.Sprintf(`{"do":"log later","n":%d}`, wait), nil)
		}
		patience := time.After(time.Minute)
		for line := ""; !strings.Contains(line, "too late"); {
			select {
			case line = <-seen:
			case <-patience:
				t.Fatal("nobody has logged what came too late")
			}
		}
		second := b.ok(`{"do":"log"}`, nil)
		if strings.Contains(first.text()+second.text(), "too late") {
			t.Errorf("logs %q and %q", first.text(), second.text())
		}
	})
}

type lineChan chan string

func (c lineChan) Write(p []byte) (int, error) { c <- string(p); return len(p), nil }

// TestLeftBehind holds that a process which leaves another behind is replaced, and that
// both are gone.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var before, after about
		b.ok(`{"do":"about"}`, &before)
		var left int
		b.ok(`{"do":"leave"}`, &left)
		for began := time.Now(); family.Alive(left) || family.Alive(before.PID); runtime.Gosched() {
			if time.Since(began) > 60*time.Second {
				t.Fatal("processes are left behind")
			}
		}
		if b.ok(`{"do":"about"}`, &after); after.PID == before.PID {
			t.Error("the process was not replaced")
		}
	})
}

// TestInit holds that a failed start is the attempt's failure, and that the next jobs wait.
func TestInit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, append(slices.Clone(command[:len(command)-1]), command[len(command)-1]+"x"), folder,
			func(f *functions.Function, _ *functions.Host) {
				if len(command) == 1 {
					f.Command, f.Manifest.Handler = command, "fail at start"
				}
			})
		out, l := b.do(t.Context(), `{"do":"echo"}`)
		if out.Err == nil || errors.Is(out.Err, functions.ErrNotStarted) {
			t.Fatalf("the start: %v", out.Err)
		}
		t.Logf("%v\n%s", out.Err, l.text())
		out, _ = b.do(t.Context(), `{"do":"echo"}`)
		if later := (*handlers.Postponement)(nil); !errors.As(out.Err, &later) || later.Delay > time.Second {
			t.Errorf("right after it: %v", out.Err)
		}
	})
}
