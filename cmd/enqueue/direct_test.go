package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/internal/connect"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// directly runs the program with nothing but a Redis and a folder.
func directly(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, msg bytes.Buffer
	err := run(t.Context(), args, func(name string) string { return env[name] }, strings.NewReader("a\nb\n"), &out, &msg)
	code = report(err, &msg)
	return code, out.String(), msg.String()
}

func TestSubmitStraightToRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	folder := t.TempDir()
	env := map[string]string{"REDIS_URL": server.URL(), "BLOB_URL": "file://" + folder, "PREFIX": "direct"}

	code, stdout, stderr := directly(t, env, "submit", "log.analyze", "-", "--set", "top=5", "--idempotency-key", "once")
	if code != exitOK {
		t.Fatalf("exit code %d, stderr %s", code, stderr)
	}
	id, err := job.ParseID(strings.TrimSpace(stdout))
	if err != nil {
		t.Fatalf("stdout = %q", stdout)
	}
	if _, again, _ := directly(t, env, "submit", "log.analyze", "-", "--set", "top=5", "--idempotency-key", "once"); again != stdout {
		t.Errorf("the same key made another job: %q and %q", stdout, again)
	}

	sys, err := connect.Open(t.Context(), connect.Config{RedisURL: env["REDIS_URL"], BlobURL: env["BLOB_URL"], Prefix: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	snap, err := sys.Store.Get(t.Context(), id)
	if err != nil || snap.State != job.Queued {
		t.Errorf("the record is %v, %v", snap.State, err)
	}
	in, err := sys.Blobs.Open(t.Context(), string(id)+"/in")
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
		"no such type":  {good, []string{"submit", "no.such"}, exitOther, "no.such"},
		"wrong field":   {good, []string{"submit", "log.analyze", "-", "--set", "top=many"}, exitOther, "top"},
		"unknown field": {good, []string{"submit", "log.analyze", "-", "--set", "tap=1"}, exitOther, "tap"},
		"queues":        {good, []string{"queues"}, exitConfiguration, "LONGSHORE_URL"},
		"not there":     {good, []string{"get", "0199c0de-0000-7000-8000-000000000001"}, exitNotFound, "no such job"},
		"to wait for":   {good, []string{"wait", "0199c0de-0000-7000-8000-000000000001"}, exitNotFound, "no such job"},
		"cursor":        {good, []string{"ls", "--cursor", "x"}, exitOther, "cursor"},
		"no folder":     {with("BLOB_URL", "s3://bucket"), []string{"submit", "math.primes", "--set", "n=1"}, exitConfiguration, "BLOB_URL"},
		"no redis": {with("REDIS_URL", "redis://:hunter2@127.0.0.1:1"), []string{"submit", "math.primes", "--set", "n=1"},
			exitUnavailable, "127.0.0.1:1"},
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
