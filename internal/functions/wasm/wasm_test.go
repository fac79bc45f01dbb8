package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/job"
)

func TestMain(m *testing.M) {
	isolate.Main(func(ctx context.Context, o *isolate.Order) ([]byte, bool) { return Serve(ctx, o) })
	code := m.Run()
	os.RemoveAll(built)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// built is the folder of the module and of what is compiled of it, "" if nothing was built.
var built string

// build builds the module once.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "wasm-test-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "function.wasm"), ".")
	cmd.Dir = "testdata/module"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return dir, nil
})

// compiled has a pool compile the module once, and returns a folder as that pool's cache is then: with the
// race detector a compilation takes half a minute, so that other pools begin with what is there.
var compiled = sync.OnceValues(func() (string, error) {
	dir, err := build()
	if err != nil {
		return "", err
	}
	kept, base := filepath.Join(dir, "kept"), filepath.Join(dir, "base")
	if err := os.Mkdir(base, 0o700); err != nil {
		return "", err
	}
	pool := NewPool(filepath.Join(dir, "cache"), dir)
	f, h := moduleOf(dir), hostOn(base)
	e, err := pool.Open(f, h)
	if err == nil {
		err = errors.Join(os.CopyFS(kept, os.DirFS(pool.cache)), e.Close())
	}
	return kept, errors.Join(err, pool.Close())
})

// moduleOf is the function that was built into a folder.
func moduleOf(dir string) *functions.Function {
	return &functions.Function{Type: "test.wasm", Folder: dir,
		Command: []string{filepath.Join(dir, "function.wasm")}, Digest: "d",
		Manifest: functions.Manifest{Mode: functions.WASM,
			Output: functions.Output{As: functions.OutputAuto}}}
}

// hostOn is a host whose jobs have their folders in base.
func hostOn(base string) *functions.Host {
	return &functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 2}, Memory: 512 << 20, MaxOutput: 64 << 20,
		KillGrace: time.Second, Base: base, Log: slog.New(slog.DiscardHandler),
		Getenv: func(name string) string { return "value of " + name }}
}

type bench struct {
	functions.Executor
	t    testing.TB
	host *functions.Host
}

func setup(t testing.TB, change ...func(*functions.Function, *functions.Host)) *bench {
	t.Helper()
	kept, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	f, h := moduleOf(built), hostOn(t.TempDir())
	for _, c := range change {
		c(f, h)
	}
	pool := NewPool(filepath.Join(t.TempDir(), "cache"), filepath.Dir(f.Command[0]))
	if err := os.CopyFS(pool.cache, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	e, err := pool.Open(f, h)
	if err != nil {
		t.Fatal(err, pool.Close())
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	return &bench{e, t, h}
}

// memoryFiles are a run's files in memory.
type memoryFiles struct {
	input   string
	mu      sync.Mutex
	outputs map[string]string
}

func (f *memoryFiles) Input(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(f.input)), nil
}

func (f *memoryFiles) Output(_ context.Context, name, _ string) (handlers.Output, error) {
	return &memoryOutput{files: f, name: name}, nil
}

type memoryOutput struct {
	strings.Builder
	files *memoryFiles
	name  string
}

func (o *memoryOutput) Write(p []byte) (int, error) {
	if o.Len() > 1<<20 {
		return 0, handlers.FailWith(job.OutputLimit, errors.New("too long"))
	}
	return o.Builder.Write(p)
}

func (o *memoryOutput) Commit() error {
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.files.outputs[o.name] = o.String()
	return nil
}
func (o *memoryOutput) Abort() error { return nil }

type done struct {
	functions.Outcome
	log     string
	outputs map[string]string
	counts  handlers.Counts
}

func (b *bench) do(ctx context.Context, payload, input string) done {
	b.t.Helper()
	var mu sync.Mutex
	var lines []string
	files := &memoryFiles{input: input, outputs: map[string]string{}}
	run := &handlers.Run{ID: "job-1", Type: "test.wasm", Attempt: 2, InputSize: int64(len(input)),
		Files: files}
	folder, err := os.MkdirTemp(b.host.Base, "job-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	out := b.Run(ctx, &functions.Attempt{Run: run, HasInput: input != "", InputType: "text/plain",
		MaxAttempts: 3, Deadline: time.Now().Add(10 * time.Minute),
		Payload: []byte(payload), Folder: folder, Log: func(l functions.Line) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, l.Text)
		}})
	mu.Lock()
	defer mu.Unlock()
	return done{out, strings.Join(lines, "\n"), files.outputs, run.Counts()}
}

func (b *bench) ok(payload, input string) done {
	b.t.Helper()
	d := b.do(b.t.Context(), payload, input)
	if d.Err != nil {
		b.t.Fatalf("%s: %v\n%s", payload, d.Err, d.log)
	}
	return d
}

func TestContract(t *testing.T) {
	t.Parallel()
	b := setup(t, func(f *functions.Function, _ *functions.Host) {
		f.Command = append(f.Command, "one")
		f.Manifest.Env = []string{"WANTED"}
	})
	var saw struct {
		Env, Args []string
		Dir       string
		Now       int64
	}
	if err := json.Unmarshal(b.ok(`{"do":"env"}`, "x").Result, &saw); err != nil {
		t.Fatal(err)
	}
	env := "\n" + strings.Join(saw.Env, "\n") + "\n"
	for _, want := range []string{"LONGSHORE_JOB=job-1", "LONGSHORE_ATTEMPT=2",
		"LONGSHORE_FUNCTION=/function", "LONGSHORE_INPUT_SIZE=1", "LONGSHORE_INPUT_TYPE=text/plain",
		"WANTED=value of WANTED", "HOME=/work"} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("the environment lacks %s: %s", want, env)
		}
	}
	if strings.Contains(env, "PATH=") || len(saw.Args) != 2 || saw.Args[1] != "one" || saw.Dir != "/work" ||
		time.Since(time.Unix(saw.Now, 0)) > 5*time.Minute {
		t.Errorf("saw %+v", saw)
	}
	long := strings.Repeat("some input\n", 50_000)
	if d := b.ok(`{"do":"copy"}`, long); d.outputs["output"] != long || d.counts.In != int64(len(long)) {
		t.Errorf("copied %d bytes of %d", len(d.outputs["output"]), len(long))
	}
	d := b.ok(`{"do":"output","text":"hello"}`, "")
	if d.outputs["a.txt"] != "hello" || d.counts.Done != 1 || d.counts.Total != 4 ||
		d.counts.Note != "a quarter" || d.Result != nil {
		t.Errorf("output %+v", d)
	}
	if d := b.ok(`{"do":"tell","text":"{\"result\":{\"a\":1}}"}`, ""); string(d.Result) != `{"a":1}` {
		t.Errorf("result %s", d.Result)
	}
	if d := b.ok(`{"do":"env"}`, strings.Repeat("unread", 100_000)); d.Result == nil {
		t.Error("an input that is not read")
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var later *handlers.Postponement
	var failure *handlers.Failure
	if d := b.do(t.Context(), `{"do":"exit","n":65,"text":"why"}`, ""); !errors.As(d.Err, &failure) ||
		!failure.Final || failure.Error() != "exit status 65: why" || d.log != "why" {
		t.Errorf("exit 65: %v, log %q", d.Err, d.log)
	}
	if d := b.do(t.Context(), `{"do":"exit","n":75,"text":"why"}`, ""); d.Err == nil ||
		d.Err.Error() != "exit status 75: why" || errors.As(d.Err, new(*handlers.Failure)) {
		t.Errorf("exit 75: %v", d.Err)
	}
	if d := b.do(t.Context(), `{"do":"tell","text":"{\"retry_in\":\"30s\"}"}`, ""); !errors.As(d.Err,
		&later) || later.Delay != 30*time.Second {
		t.Errorf("retry_in: %v", d.Err)
	}
	if d := b.do(t.Context(), `{"do":"tell","text":"{\"fail\":\"no\"}"}`, ""); !errors.As(d.Err, &failure) ||
		failure.Error() != "no" {
		t.Errorf("fail: %v", d.Err)
	}
	if d := b.do(t.Context(), `{"do":"zeros","n":100}`, ""); !errors.As(d.Err, &failure) ||
		failure.Code != job.OutputLimit {
		t.Errorf("too much output: %v", d.Err)
	}
}

// TestKilled holds that a module which loops is ended at once, and the next job runs.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	why := errors.New("why")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
	defer cancel()
	began := time.Now()
	if d := b.do(ctx, `{"do":"loop"}`, ""); !errors.Is(d.Err, why) || time.Since(began) > 60*time.Second {
		t.Errorf("ended with %v after %v", d.Err, time.Since(began))
	}
	b.ok(`{"do":"env"}`, "")
}

func TestMemory(t *testing.T) {
	t.Parallel()
	// the race detector's too
	b := setup(t, func(f *functions.Function, _ *functions.Host) { f.Manifest.Memory = 192 << 20 })
	var death *isolate.Death
	if d := b.do(t.Context(), `{"do":"alloc","n":1000}`, ""); !errors.As(d.Err, &death) ||
		!death.OutOfMemory {
		t.Errorf("ended with %v\n%s", d.Err, d.log)
	}
	if d := b.ok(`{"do":"alloc","n":20}`, ""); string(d.Result) != "20" {
		t.Errorf("result %s", d.Result)
	}
}

// TestNoWayOut holds that a module sees its two folders and nothing else, and can make no
// links.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := filepath.Join(b.host.Base, "secret")
	if err := os.WriteFile(secret, []byte("planted"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{
		`{"do":"symlink","text":"/etc/passwd"}`, `{"do":"symlink","text":"payload.json"}`, `{"do":"link"}`,
		`{"do":"read","text":"/etc/passwd"}`, `{"do":"read","text":"` + secret + `"}`,
		`{"do":"read","text":"../secret"}`,
		`{"do":"read","text":"../../secret"}`, `{"do":"read","text":"/work/../../secret"}`,
		`{"do":"read","text":"/function/../../etc/passwd"}`,
		`{"do":"read","text":"/function/../` + filepath.Base(b.host.Base) + `/secret"}`,
		`{"do":"write","text":"/function/x"}`, `{"do":"write","text":"/function/function.wasm"}`,
		`{"do":"write","text":"/work/../x"}`,
	} {
		if d := b.do(t.Context(), payload, ""); d.Err == nil ||
			strings.Contains(string(d.Result), "planted") {
			t.Errorf("%s: %s %v", payload, d.Result, d.Err)
		}
	}
	if d := b.ok(`{"do":"write","text":"/work/mine"}`, ""); d.Err != nil {
		t.Error(d.Err)
	}
	if d := b.ok(`{"do":"list","text":"/work"}`, ""); string(d.Result) != "3" {
		t.Errorf("%s files are there at the start", d.Result)
	}
}

// TestNoModule holds that what can't run is said when it is found.
func TestNoModule(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text": "hello", "empty": "", "head only": "\x00asm\x01\x00\x00\x00",
		// A module that imports env.f.
		"imports": "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x09\x01\x03env\x01f\x00\x00\x07\x0a\x01\x06_start\x00\x00",
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, "function.wasm")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h := &functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 1}, Memory: 64 << 20, MaxOutput: 1 << 20,
			Base: t.TempDir(), Log: slog.New(slog.DiscardHandler), Getenv: os.Getenv}
		pool := NewPool("", folder)
		_, err := pool.Open(&functions.Function{Type: "test.wasm", Folder: folder, Command: []string{path}}, h)
		if err == nil || errors.Is(err, functions.ErrNotStarted) {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(name, err)
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestInputAsFile holds that a module may have its input as a file, which it may seek in, and
// then has nothing on stdin.
func TestInputAsFile(t *testing.T) {
	t.Parallel()
	b := setup(t, func(f *functions.Function, _ *functions.Host) {
		f.Manifest.InputAs = functions.InputFile
		f.Manifest.Output = functions.Output{As: functions.OutputNamed, Name: "out"}
	})
	want := strings.Repeat("0123456789", 50_000)
	if got := b.ok(`{"do":"input"}`, want).outputs["out"]; got != want {
		t.Errorf("%d bytes came of %d", len(got), len(want))
	}
	if got := b.ok(`{"do":"copy"}`, want).outputs["out"]; got != "" {
		t.Errorf("%d bytes on stdin", len(got))
	}
}

// TestFolderIsBounded holds that a module that fills its work folder is ended.
func TestFolderIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *functions.Function, h *functions.Host) { h.MaxOutput = 1 << 20 })
	d := b.do(t.Context(), `{"do":"fill"}`, "")
	var limit *handlers.Failure
	if !errors.As(d.Err, &limit) || limit.Code != job.OutputLimit {
		t.Errorf("got %v", d.Err)
	}
}
