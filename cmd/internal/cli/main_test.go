package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"longshore/job"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"enqueue": func() { os.Exit(Main(os.Args[1:], nil)) }})
}

// TestScripts runs the program as a person would: testdata/script/*.txtar. Each
// script has a server of its own, which ends a job as its type says.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			server := newFake()
			env.Defer(server.Close)
			env.Setenv("LONGSHORE_URL", server.URL)
			env.Setenv("LONGSHORE_TOKEN", "hunter2")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each run ends with a second's sleep
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs the program and compares its exit code: exits CODE enqueue ARGS…
// Its stdout and stderr are left in files of those names.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	var stdout, stderr bytes.Buffer
	err := Run(context.Background(), args[2:], ts.Getenv, strings.NewReader("from stdin\n"), &stdout, &stderr, nil)
	code := Report(err, &stderr)
	ts.Check(os.WriteFile(ts.MkAbs("stdout"), stdout.Bytes(), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("stderr"), stderr.Bytes(), 0o644))
	ts.Logf("[stdout]\n%s[stderr]\n%s", &stdout, &stderr)
	if want := args[0]; want != strconv.Itoa(code) {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// TestCommands holds that each command is found under its name, and that the one that is asked for is
// made alone.
func TestCommands(t *testing.T) {
	t.Parallel()
	p := &CLI{}
	for _, c := range all {
		if made := p.commands([]string{c.name, "--help"}); len(made) != 1 || made[0].Name() != c.name {
			t.Errorf("%s: %d commands, the first is %s", c.name, len(made), made[0].Name())
		}
	}
	for _, args := range [][]string{nil, {"help", "submit"}, {"--format", "json", "submit"}, {"completion", "zsh"}} {
		if made := p.commands(args); len(made) != len(all) {
			t.Errorf("%q: %d commands of %d", args, len(made), len(all))
		}
	}
}

// TestInterrupt waits for a job that never ends, and is interrupted.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	server := newFake()
	defer server.Close()
	getenv := func(name string) string {
		return map[string]string{"LONGSHORE_URL": server.URL, "LONGSHORE_TOKEN": "hunter2"}[name]
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	stderr := &watcher{word: "running", found: cancel}
	err := Run(ctx, []string{"submit", "test.slow", "--wait"}, getenv, nil, &stdout, stderr, nil)
	if code := Report(err, stderr); code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
	id := strings.TrimSpace(stdout.String())
	if _, err := job.ParseID(id); err != nil {
		t.Errorf("stdout = %q, want the job's id", stdout.String())
	}
	if !strings.Contains(stderr.String(), "enqueue wait "+id) {
		t.Errorf("stderr = %q", stderr.String())
	}
}

// A watcher calls found once a word was written to it.
type watcher struct {
	bytes.Buffer
	word  string
	found func()
}

func (w *watcher) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.word) {
		w.found()
	}
	return n, err
}

func TestClosedStdout(t *testing.T) {
	t.Parallel()
	server := newFake()
	defer server.Close()
	getenv := func(name string) string {
		return map[string]string{"LONGSHORE_URL": server.URL, "LONGSHORE_TOKEN": "hunter2"}[name]
	}
	var stderr bytes.Buffer
	err := Run(t.Context(), []string{"types"}, getenv, nil, closed{}, &stderr, nil)
	if Report(err, &stderr) != ExitOther || !strings.Contains(stderr.String(), "stdout") {
		t.Errorf("stderr = %q", stderr.String())
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("file already closed") }

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB",
		999_950: "1.0 MB", 2_370_789: "2.4 MB", 1 << 62: "4.6 EB"} {
		if got := BytesText(n); got != want {
			t.Errorf("BytesText(%d) = %q, want %q", n, got, want)
		}
	}
}

// TestBatchOfWindows sends lines as editors and shells of Windows write them: with CR at their ends,
// with a mark before the first; and says what UTF-16 is.
func TestBatchOfWindows(t *testing.T) {
	t.Parallel()
	server := newFake()
	defer server.Close()
	getenv := func(name string) string {
		return map[string]string{"LONGSHORE_URL": server.URL, "LONGSHORE_TOKEN": "hunter2"}[name]
	}
	const line = `{"type":"test.fast","payload":{"n":1}}` + "\r\n"
	for text, want := range map[string]int{line + "\r\n" + line: 2, "\ufeff" + line + line: 2, "\ufeff\r\n" + line: 1} {
		file := filepath.Join(t.TempDir(), "jobs of mine.ndjson")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for run := range 2 { // the journal speaks of the same file
			var out, msg bytes.Buffer
			err := Run(t.Context(), []string{"batch", file}, getenv, nil, &out, &msg, nil)
			if code := Report(err, &msg); code != ExitOK || strings.Count(out.String(), "\n") != want {
				t.Errorf("%q, run %d: exit code %d, %s%s", text, run, code, &out, &msg)
			}
		}
	}
	var out, msg bytes.Buffer
	in := strings.NewReader("\xff\xfe{\x00}\x00\r\x00\n\x00")
	err := Run(t.Context(), []string{"batch", "-"}, getenv, in, &out, &msg, nil)
	if code := Report(err, &msg); code != ExitUsage || !strings.Contains(msg.String(), "UTF-16") || out.Len() > 0 {
		t.Errorf("UTF-16: exit code %d, %s%s", code, &out, &msg)
	}
}
