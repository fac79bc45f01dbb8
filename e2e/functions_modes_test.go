//go:build linux

package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/functions/lib"
	"longshore/job"
)

// example builds an example of a function that must be built, into a folder of functions.
func example(t *testing.T, functions, typ, output string, env ...string) {
	t.Helper()
	from, to := filepath.Join("..", "examples", "functions", typ), filepath.Join(functions, typ)
	text, err := os.ReadFile(filepath.Join(from, "function.json"))
	if err == nil {
		err = os.MkdirAll(to, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "function.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(to, output), ".")
	cmd.Dir = from
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
}

// write writes a function's files.
func write(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// helperText is a helper's text.
func helperText(t *testing.T, name string) string {
	t.Helper()
	text, err := lib.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWarmAndModules drives functions of modes lambda and wasm, the examples among them,
// through dev: results, outputs, progress, failures, retries and time limits.
func TestWarmAndModules(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	example(t, folder, "order.price", "run")
	example(t, folder, "log.levels", "function.wasm", "GOOS=wasip1", "GOARCH=wasm")
	write(t, filepath.Join(folder, "warm.python"), map[string]string{
		"longshore.py":  helperText(t, "longshore.py"),
		"function.json": `{"mode": "lambda", "command": ["python3", "longshore.py", "app.handler"], "timeout": "20s", "max_attempts": 2}`,
		"app.py": `import os, time
import longshore
def handler(event, context):
    if event.get("fail"): raise longshore.LongshoreFail("told to")
    if event.get("once") and context.attempt == 1: raise ValueError("the first time")
    if event.get("sleep"): time.sleep(event["sleep"])
    context.progress(1, 2, "half")
    with open(context.out + "/pid.txt", "w") as f: f.write(str(os.getpid()))
    return {"pid": os.getpid(), "attempt": context.attempt}
`})
	url := devAt(t, folder)
	for _, typ := range []string{"order.price", "log.levels", "warm.python"} {
		served(t, url, typ)
	}
	c := clientOf(t, url)
	run := func(typ string, payload map[string]any, input string) job.Snapshot {
		t.Helper()
		s := client.Submission{Type: typ, Payload: payload}
		var snap job.Snapshot
		var err error
		if input == "" {
			snap, err = c.Submit(t.Context(), s)
		} else {
			snap, err = c.SubmitFile(t.Context(), s, strings.NewReader(input), int64(len(input)))
		}
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		return wait(t, c, snap.ID)
	}
	order := map[string]any{"lines": []map[string]any{{"name": "tea", "cents": 450, "count": 2}},
		"percent": 10}
	if s := run("order.price", order, ""); string(s.Result) != `{"cents":810,"saved":90}` ||
		len(s.Outputs) != 1 || s.Outputs[0].Name != "receipt.txt" {
		t.Errorf("order.price: %s %s %v %+v", s.State, s.Result, s.Error, s.Outputs)
	}
	if s := run("order.price", map[string]any{"lines": []any{}}, ""); s.State != job.Failed ||
		s.Error.Message != "LongshoreFail: an order needs a line" || s.Attempt != 1 {
		t.Errorf("an order without lines: %s %+v", s.State, s.Error)
	}
	if s := run("log.levels", map[string]any{}, "INFO a\nERROR b\nINFO c\n"); string(
		s.Result) != `{"levels":{"ERROR":1,"INFO":2},"lines":3}` || len(s.Outputs) != 1 {
		t.Errorf("log.levels: %s %s %v %+v", s.State, s.Result, s.Error, s.Outputs)
	}
	first, second := run("warm.python", map[string]any{}, ""), run("warm.python", map[string]any{}, "")
	if first.State != job.Succeeded || string(first.Result) != string(second.Result) ||
		first.Progress.Note != "half" {
		t.Errorf("warm: %s %v, then %s", first.Result, first.Error, second.Result)
	}
	if s := run("warm.python", map[string]any{"once": true}, ""); s.State != job.Succeeded || s.Attempt != 2 {
		t.Errorf("a retry: %s %+v", s.State, s.Error)
	}
	if s := run("warm.python", map[string]any{"fail": true}, ""); s.State != job.Failed ||
		s.Error.Message != "LongshoreFail: told to" {
		t.Errorf("a failure for good: %s %+v", s.State, s.Error)
	}
	snap, err := c.Submit(t.Context(), client.Submission{Type: "warm.python",
		Payload: map[string]any{"sleep": 100}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job runs", func() bool {
		s, err := c.Get(t.Context(), snap.ID)
		return err == nil && s.State == job.Running
	})
	if _, err := c.Cancel(t.Context(), snap.ID); err != nil {
		var refused *client.Error
		t.Fatal(err, errors.As(err, &refused))
	}
	if s := wait(t, c, snap.ID); s.State != job.Canceled {
		t.Errorf("canceled: %s %+v", s.State, s.Error)
	}
	if r, err := tryRequest(t, "POST", url+"/v1/jobs/order.price", strings.NewReader(`{"lines":"none"}`),
		"Content-Type: application/json"); err != nil || r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a payload that the schema refuses: %v %v", r, err)
	}
}

// processesOf lists the processes whose command line or environment names a folder.
func processesOf(folder string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		line, _ := os.ReadFile(dir + "/cmdline")
		env, _ := os.ReadFile(dir + "/environ")
		if strings.Contains(string(line), folder) || strings.Contains(string(env), folder) {
			pids = append(pids, filepath.Base(dir))
		}
	}
	return pids
}

// TestKilledWorker kills a worker by -9 while functions of modes lambda and wasm run: no
// process of theirs stays, and another worker does the jobs.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	example(t, folder, "log.levels", "function.wasm", "GOOS=wasip1", "GOARCH=wasm")
	write(t, filepath.Join(folder, "warm.node"), map[string]string{
		"longshore.mjs": helperText(t, "longshore.mjs"),
		"function.json": `{"mode": "lambda", "command": ["node", "longshore.mjs", "app.handler"]}`,
		"app.mjs": `import { spawn } from 'node:child_process'
export async function handler({ ms }) {
  spawn('sleep', ['1000'])
  await new Promise((resolve) => setTimeout(resolve, ms))
  return process.pid
}
`})
	in := install(t)
	first := in.start(t, "worker", "FUNCTIONS_DIR="+folder)
	first.await(t, `"msg":"worker takes jobs"`)
	_, url := in.web(t)
	served(t, url, "warm.node")
	c := clientOf(t, url)
	var ids []job.ID
	for i := range 20 {
		s := client.Submission{Type: "warm.node", Payload: map[string]any{"ms": 300}}
		snap, err := c.Submit(t.Context(), s)
		if i%2 == 0 {
			s = client.Submission{Type: "log.levels", Payload: map[string]any{}}
			snap, err = c.SubmitFile(t.Context(), s, strings.NewReader("ERROR a\n"), 8)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	eventually(t, "some have ended", func() bool {
		s, err := c.Get(t.Context(), ids[3])
		return err == nil && s.Done
	})
	if len(processesOf(folder)) == 0 {
		t.Error("no process of a function is seen")
	}
	_ = first.cmd.Process.Kill()
	<-first.done
	second := in.start(t, "worker", "FUNCTIONS_DIR="+folder)
	second.await(t, `"msg":"worker takes jobs"`)
	for _, id := range ids {
		if s := wait(t, c, id); s.State != job.Succeeded {
			t.Errorf("%s ended as %s: %+v", s.Type, s.State, s.Error)
		}
	}
	second.signal(os.Interrupt)
	second.end(t, 30*time.Second)
	eventually(t, "no process is left", func() bool { return len(processesOf(folder)) == 0 })
}
