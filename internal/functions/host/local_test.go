package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/handlers"
	"longshore/internal/cgroup"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A tried is a function that was run once.
type tried struct {
	LocalOutcome
	t      *testing.T
	log    []string // "LEVEL text"
	counts handlers.Counts
	out    string // folder
}

// probes knows which interpreters start in the sandbox: on PATH may be a launcher first.
var probes Set

// try writes a shell function and runs it once.
func try(t *testing.T, script, manifest string, change ...func(*Local)) *tried {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "test.function")
	return tryIn(t, folder, map[string]string{"main.sh": script, "function.json": manifest}, change...)
}

func tryIn(t *testing.T, folder string, files map[string]string, change ...func(*Local)) *tried {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, faults := (&functions.Loader{Path: os.Getenv("PATH"), Starts: probes.starts}).LoadOne(folder)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	r := &tried{t: t, out: filepath.Join(t.TempDir(), "out")}
	var mu sync.Mutex
	l := &Local{Payload: []byte("{}"), Out: r.out,
		Timeout: min(time.Minute, cmp.Or(f.Manifest.Timeout, time.Minute)),
		Host: functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 2}, Memory: 512 << 20, MaxOutput: 8 << 20,
			KillGrace: 300 * time.Millisecond, Getenv: os.Getenv, Log: slog.New(slog.DiscardHandler)},
		Log: func(line functions.Line) {
			mu.Lock()
			defer mu.Unlock()
			r.log = append(r.log, line.Level.String()+" "+line.Text)
		},
		Progress: func(c handlers.Counts) { r.counts = c }}
	for _, c := range change {
		c(l)
	}
	o, err := l.Run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	r.LocalOutcome = o
	return r
}

// withInput makes a text the job's input.
func withInput(t *testing.T, text string) func(*Local) {
	path := filepath.Join(t.TempDir(), "in put.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(l *Local) { l.Input = path }
}

// verdict says how it ended: "ok", or code, "!" where it is final, and the message.
func (r *tried) verdict() string {
	var failure *handlers.Failure
	var death *isolate.Death
	switch {
	case r.Err == nil:
		return "ok"
	case errors.As(r.Err, &failure):
		mark := ""
		if failure.Final {
			mark = "!"
		}
		return string(failure.Code) + mark + " " + r.Err.Error()
	case errors.As(r.Err, &death) && death.OutOfMemory:
		return "out_of_memory"
	case errors.As(r.Err, &death):
		return "crashed " + r.Err.Error()
	}
	return r.Err.Error()
}

func (r *tried) output(name string) string {
	text, err := os.ReadFile(filepath.Join(r.out, name))
	if err != nil {
		return "(none)"
	}
	return string(text)
}

func (r *tried) logged(text string) bool {
	return strings.Contains(strings.Join(r.log, "\n"), text)
}

// prints is a script that logs to stdout, and ends with a result there.
const prints = `for i in $(seq 100); do echo note $i; done; echo '{"a":1}'`

var printed = func() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "note %d\n", i+1)
	}
	return b.String() + "{\"a\":1}\n"
}()

// TestContract goes through what a program may say and do, and what comes of it.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, manifest string
		payload, input   string
		verdict          string // a prefix; "" = ok
		result           string
		log              string // a part of it
		output, holds    string // name, and what is in it
		note             string
	}{
		"nothing": {script: `:`, result: ""},
		"result":  {script: `echo ' {"a": [1,2]} '`, result: `{"a": [1,2]}`},
		"payload": {script: `cat "$LONGSHORE_PAYLOAD"`, payload: `{"n": 5}`, result: `{"n":5}`},
		"text is an output": {script: `echo hello; echo there`, output: "output", holds: "hello\nthere\n",
			log: "WARN stdout is not one JSON value, so it became the output output"},
		"two values": {script: `echo 1; echo 2`, output: "output", holds: "1\n2\n"},
		"much is an output": {script: `head -c 100000 /dev/zero`, output: "output",
			holds: strings.Repeat("\x00", 100000), log: "is over 64 KiB"},
		"bad UTF-8": {script: `printf '"\377"'`, output: "output", holds: "\"\xff\""},
		"json":      {script: `echo '"x"'`, manifest: `{"output": "json"}`, result: `"x"`},
		"json, not": {script: `echo '{"a":1}'; echo 'Traceback'`, manifest: `{"output": "json"}`,
			verdict: "handler_error! stdout is not one JSON value"},
		"json quotes": {script: `echo '{"a":1}'; echo 'Traceback'`, manifest: `{"output": "json"}`,
			verdict: "handler_error! stdout is not one JSON value (malformed JSON: data after the value, at offset 8), by output json; logs go to stderr; first line that is none: Traceback"},
		"json, none": {script: `:`, manifest: `{"output": "json"}`,
			verdict: "handler_error! stdout is empty"},
		"json, too long": {script: `printf '['; yes 1, | head -c 70000`, manifest: `{"output": "json"}`,
			verdict: "output_limit! result is over 65536 bytes"},
		"log": {script: `echo said; printf unended`, manifest: `{"output": "log"}`,
			log: "INFO said\nINFO unended"},
		"named": {script: `echo x`,
			manifest: `{"output": {"name": "a.txt", "content_type": "text/plain"}}`, output: "a.txt",
			holds: "x\n"},
		"named, empty": {script: `:`, manifest: `{"output": {"name": "a.txt"}}`, output: "a.txt",
			holds: ""},
		"stderr": {
			script: `echo '{"level":"warn","msg":"low\u001b","disk":3}' >&2; printf 'a\033[31m\377b' >&2`,
			log:    "WARN low\\u001b {\"disk\":3}\nINFO a\\u001b[31m\uFFFDb"},
		"/dev/stderr":    {script: `echo hi > /dev/stderr`, log: "INFO hi"},
		"stdin":          {script: `wc -c`, input: strings.Repeat("x", 300_000), result: "300000"},
		"stdin not read": {script: `echo 1`, input: strings.Repeat("x", 3_000_000), result: "1"},
		"stdin closed": {script: `exec <&-; echo 1`, input: strings.Repeat("x", 3_000_000),
			result: "1"},
		"through": {script: `tr a-z A-Z`, manifest: `{"output": {"name": "o"}}`,
			input: strings.Repeat("abc\n", 500_000), output: "o", holds: strings.Repeat("ABC\n", 500_000)},
		"input as file": {script: `test ! -s /dev/stdin; tail -c 3 "$LONGSHORE_INPUT"`,
			manifest: `{"input_as": "file"}`, input: "12345", result: "345"},
		"input's facts": {script: `printf '"%s %s"' "$LONGSHORE_INPUT_SIZE" "$LONGSHORE_INPUT_NAME"`,
			input: "12345", result: `"5 in put.txt"`},
		"environment": {
			script: `test "$PWD" = "$HOME" && test "$HOME" = "$TMPDIR" && env | cut -d= -f1 | sort | tr '\n' ' ' >&2`, log: "INFO HOME LANG LONGSHORE_ATTEMPT LONGSHORE_CONTROL LONGSHORE_DEADLINE LONGSHORE_FAMILY LONGSHORE_FUNCTION LONGSHORE_JOB LONGSHORE_MAX_ATTEMPTS LONGSHORE_OUT LONGSHORE_PAYLOAD LONGSHORE_TYPE PATH PWD SHLVL TMPDIR _ "},
		"progress": {
			script: `echo '{"progress":{"done":1,"total":4,"note":"begun"}}' >&3; echo '{"progress":{"done":0.5,"total":1}}' >> "$LONGSHORE_CONTROL"`, note: "begun"},
		"/dev/fd/3": {script: `echo '{"result":7}' > /dev/fd/3`, result: "7"},
		"result by channel": {script: `echo log line; echo '{"result":{"x":1}}' >&3; echo more`,
			result: `{"x":1}`, log: "INFO log line"},
		"channel unended": {script: `printf '{"result":8}' >&3`, result: "8"},
		"channel wrong": {script: `echo 'oops' >&3; echo '{"resul":1}' >&3; echo '{"progress":5}' >&3`,
			log: "WARN channel: malformed JSON"},
		"channel long": {
			script: `head -c 10000000 /dev/zero | tr '\0' a >&3; echo >&3; echo '{"result":1}' >&3`,
			result: "1", log: "longer than 128 KiB"},
		"fail": {script: `echo '{"fail":"no such customer"}' >&3`,
			verdict: "handler_error! no such customer"},
		"fail before exit": {script: `echo '{"fail":"why"}' >&3; exit 75`, verdict: "handler_error! why"},
		"retry_in":         {script: `echo '{"retry_in":"30s"}' >&3; exit 1`, verdict: "again after 30s"},
		"exit 65": {script: `echo bad data >&2; exit 65`,
			verdict: "handler_error! exit status 65: bad data"},
		"exit 75": {script: `echo later >&2; exit 75`, verdict: "exit status 75: later"},
		"exit 3":  {script: `exit 3`, verdict: "exit status 3"},
		"half a file": {script: `echo half > "$LONGSHORE_OUT/f"; exit 1`, verdict: "exit status 1",
			output: "f", holds: "(none)"},
		"signal": {script: `kill -SEGV $$`,
			verdict: "crashed process was killed by signal SIGSEGV"},
		"outputs": {script: `echo 1 > "$LONGSHORE_OUT/a b.txt"; echo 2 > "$LONGSHORE_OUT/.hidden"`,
			output: "a b.txt", holds: "1\n"},
		"output, link": {script: `ln -s /etc/hostname "$LONGSHORE_OUT/x"`,
			verdict: `handler_error! output "x" is a link`},
		"output, folder": {script: `mkdir "$LONGSHORE_OUT/x"`,
			verdict: `handler_error! output "x" is a folder`},
		"output, FIFO": {script: `mkfifo "$LONGSHORE_OUT/x"`,
			verdict: `handler_error! output "x" is no plain file`},
		"output, hard link": {script: `echo 1 > a; ln a "$LONGSHORE_OUT/x"`,
			verdict: `handler_error! output "x" is a link to another file`},
		"output, name": {script: `echo 1 > "$LONGSHORE_OUT/$(printf 'a\033b')"`,
			verdict: `handler_error! output`},
		"outputs too large": {script: `head -c 9000000 /dev/zero > "$LONGSHORE_OUT/x"`,
			verdict: "output_limit!"},
		"stdout too large": {script: `cat /dev/zero`, verdict: "output_limit!"},
		"log endless":      {script: `yes | head -c 5000000 >&2; echo 1`, result: "1"},
		"line of 100 MB": {script: `head -c 100000000 /dev/zero | tr '\0' a >&2; echo 1`, result: "1",
			log: "(cut)"},
		"prints, then a value": {script: prints, output: "output", holds: printed, log: "write logs to stderr"},
		"prints, json": {script: prints, manifest: `{"output": "json"}`,
			verdict: "handler_error! stdout is not one JSON value"},
		"prints, and a result": {script: prints + `; echo '{"result":7}' >&3`, result: "7", log: "INFO note 100"},
		"progress bar": {script: `for i in $(seq 10000); do printf '\r%d %%' $i; done >&2; echo >&2; exit 3`,
			verdict: "exit status 3: 10000 %"},
		"stderr endless": {script: `cat /dev/zero >&2`, manifest: `{"timeout": "500ms"}`,
			verdict: errLocalTimeout.Error()},
		"channel endless": {script: `cat /dev/zero >&3`, manifest: `{"timeout": "500ms"}`,
			verdict: errLocalTimeout.Error()},
		"output, device": {script: `mknod "$LONGSHORE_OUT/x" c 1 3 || exit 3`,
			verdict: "exit status 3: mknod"},
		"work folder filled": {script: `while :; do n=$((n+1)); head -c 1000000 /dev/zero > f$n; done`,
			verdict: "output_limit! the work folder holds over"},
		"many files": {script: `seq 11000 | xargs touch; sleep 60`,
			verdict: "output_limit! the work folder holds over 10000 files"},
		"timeout": {script: `sleep 60`, manifest: `{"timeout": "300ms"}`,
			verdict: errLocalTimeout.Error()},
		"timeout, deaf": {script: `trap '' TERM; sleep 60 & wait; sleep 60`,
			manifest: `{"timeout": "300ms"}`, verdict: errLocalTimeout.Error()},
		"soft stop": {script: `trap 'echo bye >&2; exit 0' TERM; sleep 60 & wait`,
			manifest: `{"timeout": "500ms"}`, verdict: errLocalTimeout.Error(), log: "INFO bye"},
		"daemon":          {script: `(setsid sleep 60 >/dev/null 2>&1 &); echo 1`, result: "1"},
		"holds the pipes": {script: `setsid sleep 60 & echo 1`, result: "1"},
		"many processes": {script: `for i in $(seq 280); do sleep 60 & done; wait`,
			verdict: "crashed process had over 256 processes"},
		"fork bomb": {script: `f() { f | f & }; f; sleep 30`,
			verdict: "crashed process had over 256 processes"},
		"memory": {script: `head -c 200m /dev/zero | tail | sleep 30`, manifest: `{"memory": "64MiB"}`,
			verdict: "out_of_memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if set, err := cgroup.Open(); err == nil {
				set.Close()
			} else if name == "fork bomb" && os.Getuid() == 0 {
				t.Skip("of root only a control group bounds the processes, and there is none here")
			}
			change := func(l *Local) {
				if c.payload != "" {
					l.Payload = []byte(c.payload)
				}
			}
			changes := []func(*Local){change}
			if c.input != "" {
				changes = append(changes, withInput(t, c.input))
			}
			r := try(t, c.script, c.manifest, changes...)
			want := c.verdict
			if want == "" {
				want = "ok"
			}
			if got := r.verdict(); !strings.HasPrefix(got, want) {
				t.Errorf("%s, want %s; log %.2000q", got, want, r.log)
			}
			if got := string(r.Result); got != c.result {
				t.Errorf("result %.200s, want %s", got, c.result)
			}
			if !r.logged(c.log) {
				t.Errorf("log %.2000q, want %q", r.log, c.log)
			}
			if c.output != "" && r.output(c.output) != c.holds {
				t.Errorf("output %s is %.100q, want %.100q", c.output, r.output(c.output), c.holds)
			}
			if r.counts.Note != c.note {
				t.Errorf("note %q, want %q", r.counts.Note, c.note)
			}
		})
	}
}

// TestSubmitLines holds that what a program wants submitted comes out in order, and that
// there is a bound.
func TestSubmitLines(t *testing.T) {
	t.Parallel()
	r := try(t,
		`echo '{"submit":{"type":"a.b","payload":{"n":1}}}' >&3; echo '{"submit":{"type":"c.d"}}' >&3`, "")
	if len(r.Submit) != 2 || string(r.Submit[0]) != `{"type":"a.b","payload":{"n":1}}` || r.Err != nil {
		t.Errorf("%s, %s", r.Submit, r.verdict())
	}
	r = try(t, `for i in $(seq 101); do echo '{"submit":{"type":"a.b"}}' >&3; done`, "")
	if got := r.verdict(); !strings.HasPrefix(got, "handler_error! more than 100 jobs") {
		t.Error(got)
	}
}

// TestCanceled holds that a run ends with its context, by its cause.
func TestCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	f := &functions.Function{Type: "a.b", Folder: t.TempDir(), Command: []string{"/bin/sleep", "60"},
		Manifest: functions.Manifest{Mode: functions.Exec, Input: "none", Lane: job.LaneCPU,
			Payload: []byte(`{"type":"object"}`), Output: functions.Output{As: functions.OutputAuto}}}
	l := &Local{Payload: []byte("{}"), Out: t.TempDir(), Host: functions.Host{Memory: 64 << 20,
		MaxOutput: 1 << 20, Getenv: os.Getenv, KillGrace: time.Second}}
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	if o, err := l.Run(ctx, f); err != nil || !errors.Is(o.Err, cause) {
		t.Errorf("%v, %v", o.Err, err)
	}
}
