package within

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// directly runs the program with nothing but a Redis and a folder.
func directly(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, msg bytes.Buffer
	err := cli.Run(t.Context(), args, func(name string) string { return env[name] }, strings.NewReader("a\nb\n"),
		&out, &msg, New())
	code = cli.Report(err, &msg)
	return code, out.String(), msg.String()
}

func TestSubmitStraightToRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	folder := t.TempDir()
	env := map[string]string{"REDIS_URL": server.URL(), "BLOB_URL": "file://" + folder, "PREFIX": "direct"}

	code, stdout, stderr := directly(t, env, "submit", "log.analyze", "-", "--set", "top=5",
		"--idempotency-key", "once")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d, stderr %s", code, stderr)
	}
	id, err := job.ParseID(strings.TrimSpace(stdout))
	if err != nil {
		t.Fatalf("stdout = %q", stdout)
	}
	if _, again, _ := directly(t, env, "submit", "log.analyze", "-", "--set", "top=5", "--idempotency-key",
		"once"); again != stdout {
		t.Errorf("the same key made another job: %q and %q", stdout, again)
	}

	sys, err := connect.Open(t.Context(), connect.Config{RedisURL: env["REDIS_URL"], BlobURL: env["BLOB_URL"],
		Prefix: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	r, err := sys.Store.Read(t.Context(), id)
	if err != nil || r.Snapshot.State != job.Queued || r.Spec.Input == nil {
		t.Fatalf("the record is %+v, %v", r, err)
	}
	in, err := sys.Blobs.Open(t.Context(), r.Spec.Input.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if text, err := io.ReadAll(in); string(text) != "a\nb\n" || err != nil {
		t.Errorf("the input is %q, %v", text, err)
	}
}

func TestDirectRefusals(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"REDIS_URL": server.URL(), "BLOB_URL": "file://" + folder}
	with := func(name, value string) map[string]string {
		env := map[string]string{"REDIS_URL": good["REDIS_URL"], "BLOB_URL": good["BLOB_URL"]}
		env[name] = value
		return env
	}
	tests := map[string]struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		"no such type": {good, []string{"submit", "no.such"}, cli.ExitOther, "no.such"},
		"wrong field": {good, []string{"submit", "log.analyze", "-", "--set", "top=many"}, cli.ExitOther,
			"top"},
		"unknown field": {good, []string{"submit", "log.analyze", "-", "--set", "tap=1"}, cli.ExitOther, "tap"},
		"queues":        {good, []string{"queues"}, cli.ExitConfiguration, "LONGSHORE_URL"},
		"not there": {good, []string{"get", "0199c0de-0000-7000-8000-000000000001"}, cli.ExitNotFound,
			"no such job"},
		"to wait for": {good, []string{"wait", "0199c0de-0000-7000-8000-000000000001"}, cli.ExitNotFound,
			"no such job"},
		"cursor": {good, []string{"ls", "--cursor", "x"}, cli.ExitOther, "cursor"},
		"no folder": {with("BLOB_URL", "s3://bucket"), []string{"submit", "math.primes", "--set", "n=1"},
			cli.ExitConfiguration, "BLOB_URL"},
		"no redis": {with("REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
			[]string{"submit", "math.primes", "--set", "n=1"}, cli.ExitUnavailable, "127.0.0.1:1"},
		"no redis for types": {with("REDIS_URL", "redis://127.0.0.1:1"), []string{"types"}, cli.ExitUnavailable,
			"127.0.0.1:1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := directly(t, test.env, test.args...)
			if code != test.code || !strings.Contains(stderr, test.says) || stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q; stderr %s", code, test.code, stdout, stderr)
			}
			if strings.Contains(stderr, "hunter2") {
				t.Errorf("stderr shows a password: %s", stderr)
			}
		})
	}
}

// TestAllStraightToRedis uses each command that works without a server, with a worker
// and nothing else.
func TestAllStraightToRedis(t *testing.T) {
	t.Parallel()
	env := map[string]string{"REDIS_URL": redistest.URL(t), "PREFIX": redistest.Prefix(t),
		"BLOB_URL": "file://" + t.TempDir()}
	var r handlers.Registry
	type nothing struct{}
	handlers.Add(&r, tasks.Definition[nothing]{Type: "test.stay", Lane: job.LaneIO},
		func(ctx context.Context, _ *handlers.Run, _ nothing) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
	handlers.Add(&r, tasks.Definition[nothing]{Type: "test.fail", Lane: job.LaneIO},
		func(context.Context, *handlers.Run, nothing) (any, error) {
			return nil, handlers.Fail(errors.New("bad\n\x1b[31m luck"))
		})
	handlers.Add(&r, tasks.Definition[nothing]{Type: "test.copy", Lane: job.LaneIO,
		Input: tasks.InputRequired}, func(ctx context.Context, run *handlers.Run, _ nothing) (any, error) {
		in, err := run.Input(ctx)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		out, err := run.Output(ctx, "copy.txt", "text/plain")
		if err != nil {
			return nil, err
		}
		defer out.Abort()
		if _, err := io.Copy(out, in); err != nil {
			return nil, err
		}
		return nil, out.Commit()
	})
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- worker.Run(ctx, worker.Config{ShutdownGrace: 3 * time.Second, Ready: func() { close(ready) },
			Connection: worker.Connection{RedisURL: env["REDIS_URL"], Prefix: env["PREFIX"],
				BlobURL: env["BLOB_URL"]}}, &r)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-ready
	try := func(want int, says string, args ...string) string {
		t.Helper()
		code, stdout, stderr := directly(t, env, args...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Fatalf("enqueue %s: exit code %d, want %d\nstdout %s\nstderr %s", strings.Join(args, " "), code,
				want, stdout, stderr)
		}
		return strings.TrimSpace(stdout)
	}
	folder := t.TempDir()
	try(cli.ExitOK, "test.copy", "types")
	to := filepath.Join(folder, "out.txt")
	try(cli.ExitOK, "wrote "+to, "submit", "test.copy", "-", "-o", to)
	if text, err := os.ReadFile(to); string(text) != "a\nb\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	id := try(cli.ExitOK, "", "submit", "test.copy", "-")
	try(cli.ExitOK, "succeeded", "wait", id)
	if got := try(cli.ExitOK, "", "fetch", id); got != "a\nb" {
		t.Errorf("fetch: %q", got)
	}
	into := filepath.Join(folder, "pipe") // it stays one
	if err := syscall.Mkfifo(into, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(into, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	try(cli.ExitOK, "wrote "+into, "fetch", id, "-o", into)
	if info, err := os.Lstat(into); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe has become %v, %v", info, err)
	} else if text, err := io.ReadAll(io.LimitReader(pipe, 4)); string(text) != "a\nb\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	failed := try(cli.ExitOK, "", "submit", "test.fail")
	try(cli.ExitFailed, `bad \u001b[31m luck`, "wait", failed)
	try(cli.ExitFailed, "succeeded", "watch", id, failed)
	try(cli.ExitOK, "handler_error", "get", failed)
	try(cli.ExitOK, failed, "ls", "--state", "failed")
	try(cli.ExitFailed, "", "wait", try(cli.ExitOK, "", "retry", failed))
	long := try(cli.ExitOK, "", "submit", "test.stay")
	try(cli.ExitWaitRanOut, "", "wait", long, "--for", "200ms")
	try(cli.ExitOther, "has not ended", "delete", long)
	try(cli.ExitOther, "has not ended", "fetch", long)
	try(cli.ExitOK, "", "cancel", long)
	try(cli.ExitStopped, "canceled", "wait", long)
	try(cli.ExitOK, "", "delete", id)
	try(cli.ExitNotFound, "no such job", "get", id)

	lines := filepath.Join(folder, "lines.ndjson")
	if err := os.WriteFile(lines, []byte(strings.Repeat(`{"type":"test.fail"}`+"\n", 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := try(cli.ExitFailed, lines+" line 3: job ", "batch", lines,
		"--wait"); len(strings.Fields(out)) != 3 {
		t.Errorf("ids: %s", out)
	}
	try(cli.ExitFailed, "3 jobs: 3 failed", "batch", "fetch", lines, "-o", filepath.Join(folder, "none"))
	try(cli.ExitOK, "1 jobs ended", "batch", "--type", "test.copy", "--journal", filepath.Join(folder, "j"),
		"--wait", lines)
	try(cli.ExitOK, "1 jobs: 1 fetched", "batch", "fetch", filepath.Join(folder, "j"), "-o",
		filepath.Join(folder, "all"))
	if text, err := os.ReadFile(filepath.Join(folder, "all", "lines.ndjson", "copy.txt")); err != nil ||
		!bytes.HasPrefix(text, []byte(`{"type"`)) {
		t.Errorf("%q, %v", text, err)
	}
}

// The doctor says which Redis doesn't answer, without its password.
func TestDoctorWithoutRedis(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := directly(t, map[string]string{"REDIS_URL": "redis://:hunter2@127.0.0.1:1"}, "doctor")
	if code != cli.ExitUnavailable || !strings.Contains(stdout, "127.0.0.1:1: ") ||
		strings.Contains(stdout+stderr, "hunter2") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}
