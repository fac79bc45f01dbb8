//go:build linux

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// TestCommandLine uses enqueue as people and scripts do, on a real
// installation.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t, "LONGSHORE_TOKEN="+webToken)
	in.worker(t)
	env := []string{"LONGSHORE_URL=" + url, "LONGSHORE_TOKEN=" + webToken}
	enqueue := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		got, stdout, stderr := call(t, "a line\n", env, "enqueue", args...)
		if got != code {
			t.Fatalf("enqueue %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "),
				got, code, stdout, stderr)
		}
		return stdout, stderr
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "file.txt")
	text := strings.Repeat("some text\n", 10_000)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	unzip := func(packed []byte) string {
		t.Helper()
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain)
	}

	// In one call: submit, wait, fetch.
	to := filepath.Join(folder, "file.gz")
	enqueue(0, "submit", "file.compress", file, "--set", "level=9", "-o", to)
	if packed, err := os.ReadFile(to); err != nil || unzip(packed) != text {
		t.Errorf("the file did not come back: %v", err)
	}
	// One by one.
	out, _ := enqueue(0, "submit", "file.compress", "-")
	id := strings.TrimSpace(out)
	if _, err := job.ParseID(id); err != nil {
		t.Fatalf("submit prints %q, not an id", out)
	}
	out, _ = enqueue(0, "wait", id, "--format", "json")
	var snap job.Snapshot
	if err := json.Unmarshal([]byte(out), &snap); err != nil || snap.State != job.Succeeded ||
		string(snap.ID) != id {
		t.Errorf("wait prints %s (%v)", out, err)
	}
	if out, _ = enqueue(0, "get", id); !strings.Contains(out, id) || !strings.Contains(out, "succeeded") {
		t.Errorf("get prints %s", out)
	}
	if out, _ = enqueue(0, "fetch", id); unzip([]byte(out)) != "a line\n" {
		t.Error("fetch to stdout brings something else")
	}
	if out, _ = enqueue(0, "types"); !strings.Contains(out, "log.analyze") ||
		!strings.Contains(out, "math.primes") {
		t.Errorf("types prints %s", out)
	}
	out, stderr := enqueue(0, "submit", "math.primes", "--set", "n=100", "--wait", "--format", "json")
	if err := json.Unmarshal([]byte(out), &snap); err != nil || !strings.Contains(string(snap.Result), "25") {
		t.Errorf("--wait prints %s (%v), stderr %s", out, err, stderr)
	}

	// The ways to end otherwise.
	enqueue(3, "submit", "file.decompress", file, "--wait")
	out, _ = enqueue(0, "submit", "math.primes", "--set", "n=100000000000")
	long := strings.TrimSpace(out)
	enqueue(124, "wait", long, "--for", "100ms")
	enqueue(0, "cancel", long)
	enqueue(4, "wait", long)
	enqueue(5, "get", string(job.NewID(time.Now())))
	enqueue(1, "submit", "no.such", file)
	enqueue(1, "submit", "math.primes", "--set", "n=many")
	enqueue(1, "submit", "file.checksum", filepath.Join(folder, "missing"))
	enqueue(2, "get")
	enqueue(2, "get", "not-an-id")
	enqueue(2, "submit", "math.primes", "--nn=1")
	enqueue(2)
	env = []string{"LONGSHORE_URL=" + url, "LONGSHORE_TOKEN=wrong"}
	enqueue(78, "get", long)
	env = []string{"LONGSHORE_URL=ftp://nowhere"}
	enqueue(78, "get", long)
	env = []string{"LONGSHORE_URL=http://127.0.0.1:1"}
	enqueue(69, "types")
}

// TestInterruptedWait interrupts enqueue while it waits: it says how to go on,
// and the job does.
func TestInterruptedWait(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	long := submit(t, c, burner)
	poll(t, c, long.ID, "runs", runs)
	p := startProgram(t, "", append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL="+url), "enqueue",
		"wait", string(long.ID), "--format", "jsonl")
	p.await(t, `"state":"running"`)
	p.signal(syscall.SIGINT)
	if code := p.end(t, 10*time.Second); code != 130 || len(p.said("enqueue wait "+string(long.ID))) == 0 {
		t.Errorf("exit code %d, said %s", code, p.tail(5))
	}
	if snap, err := c.Get(t.Context(), long.ID); err != nil || snap.State != job.Running {
		t.Errorf("the job: %+v, %v", snap, err)
	}
}

// TestDirect submits straight to Redis and the blob store, with no web process.
func TestDirect(t *testing.T) {
	t.Parallel()
	in := install(t)
	direct := append(in.env[:len(in.env):len(in.env)], "LONGSHORE_URL=")
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	var ids []job.ID
	for _, args := range [][]string{
		{"submit", "file.checksum", file, "--set", "algorithms=sha1"},
		{"submit", "file.checksum", "-", "--payload", `{"algorithms":["sha1"]}`},
		{"submit", "math.primes", "--set", "n=100"},
	} {
		code, stdout, stderr := call(t, "abc", direct, "enqueue", args...)
		id, err := job.ParseID(strings.TrimSpace(stdout))
		if code != 0 || err != nil {
			t.Fatalf("%v: exit code %d, %q, %q", args, code, stdout, stderr)
		}
		ids = append(ids, id)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{1, []string{"submit", "no.such", file}},
		{1, []string{"submit", "math.primes", "--set", "n=-1"}},
		{78, []string{"queues"}},
		{5, []string{"get", string(job.NewID(time.Now()))}},
		{124, []string{"wait", string(ids[0]), "--for", "50ms"}},
	} {
		if code, _, stderr := call(t, "", direct, "enqueue", c.args...); code != c.code || stderr == "" {
			t.Errorf("%v: exit code %d, want %d: %s", c.args, code, c.code, stderr)
		}
	}
	gone := append(direct[:len(direct):len(direct)], "REDIS_URL=redis://me:hunter2@127.0.0.1:1")
	if code, _, stderr := call(t, "", gone, "enqueue", "submit", "math.primes", "--set", "n=1"); code != 69 ||
		strings.Contains(stderr, "hunter2") {
		t.Errorf("without Redis: exit code %d: %s", code, stderr)
	}
	in.worker(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	want := []string{`"sha1":"a9993e364706816aba3e25717850c26c9cd0d89d"`,
		`"sha1":"a9993e364706816aba3e25717850c26c9cd0d89d"`, `"count":25`}
	for i, id := range ids {
		if snap := wait(t, c, id); snap.State != job.Succeeded ||
			!strings.Contains(string(snap.Result), want[i]) {
			t.Errorf("job ended as %+v: %s", snap, snap.Result)
		}
	}
	var list []job.Snapshot
	for snap, err := range c.List(t.Context(), client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, snap)
	}
	if len(list) != len(ids) {
		t.Errorf("%d jobs are listed, want %d", len(list), len(ids))
	}
}
