//go:build linux

package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/functions/lib"
	"longshore/job"
)

// kinds are functions that do the same, in all that may be one: their files, or what is built.
var kinds = map[string]struct {
	needs string            // a program on PATH
	files map[string]string // beside function.json
	more  string            // fields of function.json
	built string            // folder of testdata/functions, in Go
	env   []string          // of the build
	retry string            // what the first attempt failed with
	never string            // … what one for good
}{
	"kind.sh": {needs: "sh", retry: "exit status 75: not yet", never: "exit status 65: never",
		files: map[string]string{"main.sh": `
do=$(sed 's/.*"do":"\([a-z]*\)".*/\1/' "$LONGSHORE_PAYLOAD")
echo "heard $do" >&2
case $do in
retry) if [ "$LONGSHORE_ATTEMPT" = 1 ]; then echo "not yet" >&2; exit 75; fi ;;
fail) echo never >&2; exit 65 ;;
memory) dd if=/dev/zero of=/dev/null bs=400M count=100 2>/dev/null ;;
sleep) sleep 60 ;;
nap) sleep 2 ;;
work) echo '{"progress":{"done":1,"total":2,"note":"half"}}' >&3; sleep 1; echo made > "$LONGSHORE_OUT/made.txt" ;;
esac
echo "{\"did\":\"$do\"}"
`}},
	"kind.python": {needs: "python3", retry: "exit status 75: not yet", never: "exit status 65: never",
		files: map[string]string{"main.py": `
import json, os, sys, time
with open(os.environ["LONGSHORE_PAYLOAD"]) as f:
    do = json.load(f)["do"]
def end(code, why):
    print(why, file=sys.stderr)
    sys.exit(code)
print("heard", do, file=sys.stderr)
if do == "retry" and os.environ["LONGSHORE_ATTEMPT"] == "1": end(75, "not yet")
if do == "fail": end(65, "never")
if do == "memory":
    kept = b"x" * (400 << 20)
    time.sleep(60)
if do == "sleep": time.sleep(60)
if do == "nap": time.sleep(2)
if do == "work":
    os.write(3, b'{"progress":{"done":1,"total":2,"note":"half"}}\n')
    time.sleep(1)
    with open(os.environ["LONGSHORE_OUT"] + "/made.txt", "w") as f: f.write("made\n")
print(json.dumps({"did": do}, separators=(",", ":")))
`}},
	"kind.node": {needs: "node", retry: "exit status 75: not yet", never: "exit status 65: never",
		files: map[string]string{"main.mjs": `
import fs from 'node:fs'
const { do: what } = JSON.parse(fs.readFileSync(process.env.LONGSHORE_PAYLOAD))
const end = (code, why) => { fs.writeSync(2, why + '\n'); process.exit(code) }
const wait = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000))
fs.writeSync(2, 'heard ' + what + '\n')
if (what === 'retry' && process.env.LONGSHORE_ATTEMPT === '1') end(75, 'not yet')
if (what === 'fail') end(65, 'never')
if (what === 'memory') { globalThis.kept = Buffer.alloc(400 << 20, 1); await wait(60) }
if (what === 'sleep') await wait(60)
if (what === 'nap') await wait(2)
if (what === 'work') {
  fs.appendFileSync(process.env.LONGSHORE_CONTROL, '{"progress":{"done":1,"total":2,"note":"half"}}\n')
  await wait(1)
  fs.writeFileSync(process.env.LONGSHORE_OUT + '/made.txt', 'made\n')
}
console.log(JSON.stringify({ did: what }))
`}},
	"kind.ruby": {needs: "ruby", retry: "exit status 75: not yet", never: "exit status 65: never",
		files: map[string]string{"main.rb": `
what = File.read(ENV["LONGSHORE_PAYLOAD"])[/"do":"(\w+)"/, 1]
def finish(code, why)
  $stderr.puts why
  exit code
end
$stderr.puts "heard #{what}"
finish(75, "not yet") if what == "retry" && ENV["LONGSHORE_ATTEMPT"] == "1"
finish(65, "never") if what == "fail"
if what == "memory"
  kept = "x" * (400 << 20)
  sleep 60
end
sleep 60 if what == "sleep"
sleep 2 if what == "nap"
if what == "work"
  File.open(ENV["LONGSHORE_CONTROL"], "a") { |f| f.puts '{"progress":{"done":1,"total":2,"note":"half"}}' }
  sleep 1
  File.write(ENV["LONGSHORE_OUT"] + "/made.txt", "made\n")
end
puts %({"did":"#{what}"})
`}},
	"kind.lambda": {built: "lambda", more: `, "mode": "lambda"`, env: []string{"CGO_ENABLED=0"},
		retry: "not yet", never: "LongshoreFail: never"},
	"kind.warm": {needs: "python3", retry: "ValueError: not yet", never: "LongshoreFail: never",
		more: `, "mode": "lambda", "command": ["python3", "longshore.py", "app.handler"]`,
		files: map[string]string{"longshore.py": libText("longshore.py"), "app.py": `
import sys, time
import longshore
def handler(event, context):
    do = event["do"]
    print("heard", do, file=sys.stderr, flush=True)
    if do == "retry" and context.attempt == 1: raise ValueError("not yet")
    if do == "fail": raise longshore.LongshoreFail("never")
    if do == "memory":
        kept = b"x" * (400 << 20)
        time.sleep(60)
    if do == "sleep": time.sleep(60)
    if do == "nap": time.sleep(2)
    if do == "work":
        context.progress(1, 2, "half")
        time.sleep(1)
        with open(context.out + "/made.txt", "w") as f: f.write("made\n")
    return {"did": do}
`}},
	"kind.wasm": {built: "wasm", env: []string{"GOOS=wasip1", "GOARCH=wasm"},
		retry: "exit status 75: not yet", never: "exit status 65: never"},
}

func libText(name string) string {
	text, err := lib.Files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

// writeKinds writes the functions whose programs are there, and returns their types.
func writeKinds(t *testing.T, functions string) (types []string) {
	t.Helper()
	for typ, k := range kinds {
		if _, err := exec.LookPath(k.needs); k.needs != "" && err != nil {
			t.Logf("%s is left out: there is no %s", typ, k.needs)
			continue
		}
		types = append(types, typ)
		files := map[string]string{
			"function.json": `{"input": "none", "memory": "160MiB", "max_attempts": 2` +
				k.more + `}`}
		for name, text := range k.files {
			files[name] = text
		}
		folder := filepath.Join(functions, typ)
		write(t, folder, files)
		if k.built == "" {
			continue
		}
		output := "run"
		if k.built == "wasm" {
			output = "function.wasm"
		}
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, output), ".")
		cmd.Dir = filepath.Join("testdata", "functions", k.built)
		cmd.Env = append(append(os.Environ(), "GOFLAGS=-buildvcs=false"), k.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
	}
	return types
}

// TestKindsOfFunctions has functions of all kinds do the same: results, outputs, progress as
// events, logs, retries, failures, time limits, cancels, too much memory, and a drain that
// consumes no attempt.
func TestKindsOfFunctions(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	types := writeKinds(t, folder)
	in := install(t)
	env := []string{"FUNCTIONS_DIR=" + folder, "CPU_CONCURRENCY=8", "SHUTDOWN_GRACE=1s"}
	worker := in.worker(t, env...)
	_, url := in.web(t)
	c := clientOf(t, url)
	submit := func(typ, what string, change ...func(*client.Submission)) job.Snapshot {
		t.Helper()
		s := client.Submission{Type: typ, Payload: map[string]any{"do": what}}
		for _, f := range change {
			f(&s)
		}
		snap, err := c.Submit(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		return snap
	}
	var wg sync.WaitGroup
	for _, typ := range types {
		served(t, url, typ)
		wg.Go(func() {
			k := kinds[typ]
			work := submit(typ, "work")
			if !events(t, url, work.ID, `"note":"half"`) {
				t.Errorf("%s: no event tells the progress", typ)
			}
			if s := wait(t, c, work.ID); string(s.Result) != `{"did":"work"}` || len(s.Outputs) != 1 ||
				s.Outputs[0].Name != "made.txt" || s.Outputs[0].Size != 5 {
				t.Errorf("%s: %s, result %s, outputs %+v, %+v", typ, s.State, s.Result, s.Outputs, s.Errors)
			}
			eventually(t, typ+"'s log has what it said", func() bool {
				for line, err := range c.Logs(t.Context(), work.ID, 0, false) {
					if err == nil && line.Msg == "heard work" && line.Attempt == 1 {
						return true
					}
				}
				return false
			})
			if s := wait(t, c, submit(typ, "retry").ID); s.State != job.Succeeded || s.Attempt != 2 ||
				len(s.Errors) != 1 || !strings.Contains(s.Errors[0].Message, k.retry) {
				t.Errorf("%s: retry: %s after %d, %+v", typ, s.State, s.Attempt, s.Errors)
			}
			if s := wait(t, c, submit(typ, "fail").ID); s.State != job.Failed || s.Attempt != 1 ||
				s.Error.Message != k.never {
				t.Errorf("%s: fail: %s after %d, %+v", typ, s.State, s.Attempt, s.Error)
			}
			once := func(s *client.Submission) { s.MaxAttempts = 1 }
			if s := wait(t, c, submit(typ, "memory", once).ID); s.State != job.Failed ||
				s.Error.Code != job.OutOfMemory {
				t.Errorf("%s: memory: %s, %+v", typ, s.State, s.Error)
			}
			if s := wait(t, c, submit(typ, "sleep", once, func(s *client.Submission) {
				s.Timeout = 500 * time.Millisecond
			}).ID); s.State != job.Failed || s.Error.Code != job.Timeout {
				t.Errorf("%s: timeout: %s, %+v", typ, s.State, s.Error)
			}
			long := submit(typ, "sleep")
			eventually(t, typ+" runs", func() bool {
				s, err := c.Get(t.Context(), long.ID)
				return err == nil && s.State == job.Running
			})
			if _, err := c.Cancel(t.Context(), long.ID); err != nil {
				t.Error(err)
			}
			if s := wait(t, c, long.ID); s.State != job.Canceled {
				t.Errorf("%s: cancel: %s, %+v", typ, s.State, s.Error)
			}
		})
	}
	wg.Wait()
	for _, typ := range types {
		logged := false
		for _, line := range worker.said(`"msg":"heard work"`) {
			logged = logged || strings.Contains(line, `"type":"`+typ+`"`) &&
				strings.Contains(line, `"job_id":"`)
		}
		if !logged {
			t.Errorf("%s: the log has no line of the function's", typ)
		}
	}
	drainKinds(t, in, c, types, worker, submit, env)
}

// drainKinds ends a worker in the middle of a job of each kind; another one does them.
func drainKinds(t *testing.T, in *installation, c *client.Client, types []string, worker *process,
	submit func(string, string, ...func(*client.Submission)) job.Snapshot, env []string) {
	t.Helper()
	var naps []job.Snapshot
	for _, typ := range types {
		naps = append(naps, submit(typ, "nap"))
	}
	eventually(t, "all run", func() bool {
		for _, nap := range naps {
			if s, err := c.Get(t.Context(), nap.ID); err != nil || s.State != job.Running {
				return false
			}
		}
		return true
	})
	worker.signal(syscall.SIGTERM)
	worker.end(t, 20*time.Second)
	in.worker(t, env...)
	for _, nap := range naps {
		if s := wait(t, c, nap.ID); s.State != job.Succeeded || s.Attempt != 1 || len(s.Errors) > 0 {
			t.Errorf("%s: drained: %s after %d, %+v", s.Type, s.State, s.Attempt, s.Errors)
		}
	}
}

// events reads a job's events until one holds a text.
func events(t *testing.T, url string, id job.ID, text string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/jobs/"+string(id)+"/events", nil)
	if err != nil {
		t.Error(err)
		return false
	}
	resp, err := plain.Do(req)
	if err != nil {
		t.Error(err)
		return false
	}
	defer resp.Body.Close()
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := resp.Body.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return strings.Contains(all.String(), text) && err == io.EOF
		}
	}
	return true
}

// TestKindsKilled kills a worker by -9 in the middle of 50 jobs of each mode: all end, no
// process stays, and no file.
func TestKindsKilled(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	temps := []string{t.TempDir(), t.TempDir()}
	writeKinds(t, folder)
	in := install(t)
	env := func(n int) []string {
		return []string{"FUNCTIONS_DIR=" + folder, "CPU_CONCURRENCY=6", "TMPDIR=" + temps[n], "LEASE=4s"}
	}
	first := in.worker(t, env(0)...)
	_, url := in.web(t)
	c := clientOf(t, url)
	var ids []job.ID
	for i := range 150 {
		typ := []string{"kind.sh", "kind.lambda", "kind.wasm"}[i%3]
		if i < 3 {
			served(t, url, typ)
		}
		snap, err := c.Submit(t.Context(),
			client.Submission{Type: typ, Payload: map[string]any{"do": "echo"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	eventually(t, "some have ended", func() bool {
		s, err := c.Get(t.Context(), ids[20])
		return err == nil && s.Done
	})
	_ = first.cmd.Process.Kill()
	<-first.done
	second := in.worker(t, env(1)...)
	for _, id := range ids {
		if s := wait(t, c, id); s.State != job.Succeeded || string(s.Result) != `{"did":"echo"}` {
			t.Errorf("%s ended as %s, %s: %+v", s.Type, s.State, s.Result, s.Error)
		}
	}
	second.signal(syscall.SIGTERM)
	second.end(t, 30*time.Second)
	eventually(t, "no process is left", func() bool {
		return len(processesOf(folder)) == 0 && len(worksIn(temps[0])) == 0 && len(worksIn(temps[1])) == 0
	})
	eventually(t, "no work folder is left", func() bool {
		var left []string
		for _, temp := range temps {
			found, err := filepath.Glob(filepath.Join(temp, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				// the cache of deployed ones
				if !strings.HasPrefix(filepath.Base(path), "longshore-functions-") {
					left = append(left, path)
				}
			}
		}
		return len(left) == 0
	})
}
