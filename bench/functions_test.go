package bench

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/functions/lib"
	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/worker"
)

// A kind is a function that does next to nothing, and the same program without Longshore.
type kind struct {
	files map[string]string // beside function.json
	more  string            // fields of function.json
	built string            // folder of e2e/testdata/functions, in Go; output is the name of what is built
	out   string
	env   []string // of that build
	plain []string // what is started beside it; nil = the built program, for this machine
}

const (
	pythonHandler = "def handler(event, context): return {}\n"
	nodeHandler   = "export async function handler() { return {} }\n"
)

var kinds = map[string]kind{
	"exec/true": {more: `, "command": ["true"]`, plain: []string{"true"}},
	"exec/sh":   {files: map[string]string{"main.sh": "echo 1\n"}, plain: []string{"sh", "-c", "echo 1"}},
	"exec/python": {files: map[string]string{"main.py": "print(1)\n"},
		plain: []string{"/usr/bin/python3", "-c", "print(1)"}},
	"exec/node": {files: map[string]string{"main.mjs": "console.log(1)\n"},
		plain: []string{"node", "-e", "console.log(1)"}},
	"lambda/python": {files: map[string]string{"app.py": pythonHandler, "longshore.py": ""},
		more:  `, "mode": "lambda", "command": ["/usr/bin/python3", "longshore.py", "app.handler"]`,
		plain: []string{"/usr/bin/python3", "-c", ""}},
	"lambda/node": {files: map[string]string{"app.mjs": nodeHandler, "longshore.mjs": ""},
		more:  `, "mode": "lambda", "command": ["node", "longshore.mjs", "app.handler"]`,
		plain: []string{"node", "-e", "0"}},
	"lambda/go": {built: "lambda", out: "run", more: `, "mode": "lambda"`},
	"wasm/go":   {built: "wasm", out: "function.wasm", env: []string{"GOOS=wasip1", "GOARCH=wasm"}},
}

// BenchmarkFunctions is a job of each kind of function through everything: queue, record, worker,
// sandbox. Beside it, in the same run, the same program is started by fork and exec as often, by as
// many at once as there are slots.
func BenchmarkFunctions(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[name]
		b.Run(name, k.bench)
	}
}

func (k *kind) bench(b *testing.B) {
	functions := b.TempDir()
	plain := k.write(b, filepath.Join(functions, function))
	sys, where := open(b, 8)
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		var none handlers.Registry
		worker.Run(ctx, worker.Config{Connection: where, Functions: functions, CPUConcurrency: atOnce,
			FunctionsWarm: atOnce, Lanes: []job.Lane{job.LaneCPU}}, &none)
	})
	defer func() {
		stop()
		wg.Wait()
	}()
	drainFunctions(b, sys, atOnce) // the first ones start what stays warm
	b.ResetTimer()
	drainFunctions(b, sys, b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	n, began := min(b.N, 200), time.Now()
	var starts sync.WaitGroup
	for first := range atOnce {
		starts.Go(func() {
			for i := first; i < n; i += atOnce {
				cmd := plain()
				if cmd.Start() != nil {
					b.Error("the program can't be started")
					return
				}
				// Programs of functions have a lower priority, which counts on a busy machine.
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 5)
				_ = cmd.Wait() // how it ends, without what is around it, is no matter
			}
		})
	}
	starts.Wait()
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "fork+exec/s")
}

const (
	function = "bench.function" // the type
	atOnce   = 2                // jobs, and starts
)

// write writes the function, and returns what starts its program alone.
func (k *kind) write(b *testing.B, folder string) func() *exec.Cmd {
	b.Helper()
	files := map[string]string{"function.json": `{"input": "none"` + k.more + `}`}
	for name, text := range k.files {
		if files[name] = text; text == "" {
			helper, err := lib.Files.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			files[name] = string(helper)
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if k.built == "" {
		if _, err := exec.LookPath(k.plain[0]); err != nil {
			b.Skip("needs ", k.plain[0])
		}
		return func() *exec.Cmd { return exec.Command(k.plain[0], k.plain[1:]...) }
	}
	alone := filepath.Join(b.TempDir(), "alone")
	k.build(b, filepath.Join(folder, k.out), k.env...)
	k.build(b, alone)
	payload := filepath.Join(b.TempDir(), "payload.json")
	if err := os.WriteFile(payload, []byte(`{"do":"echo"}`), 0o600); err != nil {
		b.Fatal(err)
	}
	return func() *exec.Cmd {
		cmd := exec.Command(alone)
		cmd.Env = []string{"LONGSHORE_PAYLOAD=" + payload}
		return cmd
	}
}

func (k *kind) build(b *testing.B, output string, env ...string) {
	b.Helper()
	cmd := exec.Command("go", "build", "-o", output, ".")
	cmd.Dir = filepath.Join("..", "e2e", "testdata", "functions", k.built)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatal(err, string(out))
	}
}

// drainFunctions submits jobs and waits until all have ended.
func drainFunctions(b *testing.B, sys *connect.System, n int) {
	b.Helper()
	jobs := drafts(n)
	for i := range jobs {
		jobs[i].Type, jobs[i].Lane = function, job.LaneCPU
		jobs[i].Spec.Payload = []byte(`{"do":"echo"}`)
	}
	submitAll(b, sys, jobs)
	last := jobs[n-1].ID
	for {
		open, err := sys.Store.OpenOf(b.Context(), function)
		if err != nil {
			b.Fatal(err)
		}
		if open == 0 {
			break
		}
		select {
		case <-b.Context().Done():
			b.Fatal(b.Context().Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
	if snap, err := sys.Store.Get(b.Context(), last); err != nil || snap.State != job.Succeeded {
		b.Fatalf("%v, %s %+v", err, snap.State, snap.Errors)
	}
}
