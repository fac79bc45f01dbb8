//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/client"
	"longshore/job"
)

// tinyModule is a module of WebAssembly that does nothing, and does it well.
const tinyModule = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"

// TestDeploy deploys functions over HTTP and by the command line: workers switch between
// jobs, and jobs tell the version that they ran.
func TestDeploy(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t, "FUNCTIONS_DEPLOY=all")
	in.worker(t, "FUNCTIONS_DIR=", "TMPDIR="+t.TempDir()) // it takes modules only
	env := append(os.Environ(), "LONGSHORE_URL="+url)
	c := clientOf(t, url)
	folder := filepath.Join(t.TempDir(), "say.it")
	say := func(word string) (version string) {
		t.Helper()
		write(t, folder, map[string]string{"function.json": `{"input": "none"}`,
			"main.sh": "echo '\"" + word + "\"'\n"})
		code, out, stderr := call(t, "", env, "enqueue", "functions", "deploy", folder, "--format", "json")
		var versions []client.FunctionVersion
		if code != 0 || json.Unmarshal([]byte(out), &versions) != nil || len(versions) != 1 {
			t.Fatalf("%d %s %s", code, out, stderr)
		}
		return string(rune('0' + versions[0].Version))
	}
	submit := func(typ string) job.Snapshot {
		t.Helper()
		snap, err := c.Submit(t.Context(), client.Submission{Type: typ})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	ran := func(snap job.Snapshot, version int64, result string) {
		t.Helper()
		if snap = wait(t, c, snap.ID); snap.State != job.Succeeded || snap.Attempt != 1 ||
			snap.Function == nil || snap.Function.Version != version || string(snap.Result) != result {
			t.Errorf("%s after attempt %d, function %+v, result %s, %+v; want version %d and %s", snap.State,
				snap.Attempt, snap.Function, snap.Result, snap.Errors, version, result)
		}
	}
	if v := say("one"); v != "1" {
		t.Errorf("version %s", v)
	}
	if v := say("one"); v != "1" {
		t.Errorf("the same again: version %s", v)
	}
	// A worker that can't serve it leaves it to others, and no attempt is consumed.
	early := submit("say.it")
	eventually(t, "the job waits for a worker", func() bool {
		snap, err := c.Get(t.Context(), early.ID)
		return err == nil && snap.WaitingFor == job.WaitingWorker && snap.Attempt == 0
	})
	in.worker(t, "FUNCTIONS_DIR=", "FUNCTIONS_DEPLOY=all", "TMPDIR="+t.TempDir())
	ran(early, 1, `"one"`)

	say("two")
	ran(submit("say.it"), 2, `"two"`) // whoever still has the first one gives the job back
	if code, _, stderr := call(t, "", env, "enqueue", "functions", "rollback", "say.it", "1"); code != 0 {
		t.Fatal(stderr)
	}
	ran(submit("say.it"), 3, `"one"`)
	failedBy(t, c, env)
	if _, out, _ := call(t, "", env, "enqueue", "functions", "versions", "say.it"); !strings.Contains(out,
		"current, content of 1") {
		t.Errorf("versions:\n%s", out)
	}

	put := func(typ, body string, header ...string) (int, string) {
		t.Helper()
		r, err := tryRequest(t, "PUT", url+"/v1/functions/"+typ, strings.NewReader(body), header...)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(r.body)
	}
	if status, body := put("do.nothing", tinyModule); status != 201 {
		t.Fatal(status, body)
	}
	ran(submit("do.nothing"), 1, ``)
	for _, c := range []struct {
		name, typ, body, header string
		status                  int
		says                    string
	}{
		{"nothing", "a.b", "hello", "", 422, "expected a module"},
		{"no module", "a.b", "\x00asm\x01\x00\x00\x00nonsense", "", 422, "the module can't run here"},
		{"a way out", "a.b", tarOf(t, "../main.sh"), "", 422, "leads out of the folder"},
		{"a built-in type", "math.primes", tinyModule, "", 409, "Go code"},
		{"no type", "nonsense", tinyModule, "", 422, "name of a type"},
		{"another version", "do.nothing", tarOf(t, "run"), `If-Match: "7"`, 412, "version 1 is current"},
	} {
		var header []string
		if c.header != "" {
			header = append(header, c.header)
		}
		if status, body := put(c.typ, c.body, header...); status != c.status ||
			!strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}

	if code, _, stderr := call(t, "", env, "enqueue", "functions", "rm", "say.it"); code != 0 ||
		!strings.Contains(stderr, "0 of its jobs are open") {
		t.Error(code, stderr)
	}
	if _, err := c.Submit(t.Context(), client.Submission{Type: "say.it"}); err == nil {
		t.Error("a job of a removed function was taken")
	}
}

// tarOf is a tar.gz of one file.
func tarOf(t *testing.T, name string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	const text = "#!/bin/sh\n"
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)),
		Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// failedBy has a first attempt fail by one version and the second succeed by the next: the job and
// its timeline tell which attempt ran by which.
func failedBy(t *testing.T, c *client.Client, env []string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "fail.once")
	deploy := func(script string) {
		t.Helper()
		write(t, folder, map[string]string{"function.json": `{"input": "none"}`, "main.sh": script})
		if code, _, stderr := call(t, "", env, "enqueue", "functions", "deploy", folder); code != 0 {
			t.Fatal(stderr)
		}
	}
	deploy("echo no >&2; exit 75\n")
	snap, err := c.Submit(t.Context(), client.Submission{Type: "fail.once"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an attempt has failed", func() bool {
		got, err := c.Get(t.Context(), snap.ID)
		return err == nil && len(got.Errors) > 0
	})
	deploy("echo 1\n")
	snap = wait(t, c, snap.ID)
	if snap.State != job.Succeeded || snap.Function == nil || snap.Function.Version != 2 ||
		snap.Errors[0].Function == nil || snap.Errors[0].Function.Version != 1 {
		t.Errorf("%s by %+v, errors %+v", snap.State, snap.Function, snap.Errors)
	}
	timeline, err := c.Timeline(t.Context(), snap.ID)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]int64{}
	for _, e := range timeline.Entries {
		if versions[e.What] == 0 {
			versions[e.What] = e.Version
		}
	}
	if versions["failed_attempt"] != 1 || versions["finished"] != 2 {
		t.Errorf("timeline: %+v", timeline.Entries)
	}
}
