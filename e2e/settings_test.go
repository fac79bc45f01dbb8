//go:build linux

package e2e

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"longshore/internal/localredis/redistest"
)

// TestRefusesToStart gives the programs settings and surroundings in which
// they must not run. Each says what is wrong, all of it, and no password.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.worker(t) // registers the folder of this installation
	evicting := redistest.New(t)
	if err := redistest.ClientOf(t, evicting.URL()).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").
		Err(); err != nil {
		t.Fatal(err)
	}
	guarded := redistest.New(t)
	host := strings.TrimPrefix(guarded.URL(), "unix://")
	admin := redistest.ClientOf(t, guarded.URL())
	for user, rules := range map[string][]string{"limited": {"on", ">" + "hunter2", "~*", "&*", "+ping",
		"+info", "+config"},
		"blind": {"on", ">" + "hunter2", "~*", "&*", "+ping"}} {
		if err := admin.ACLSetUser(t.Context(), user, rules...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	const password = "hunter2"
	for _, c := range []struct {
		name     string
		programs string
		env      []string
		args     []string
		code     int
		says     []string
	}{
		{"wrong settings", "web worker", []string{"REDIS_URL=http://me:" + password + "@host",
			"BLOB_URL=s3://bucket/" + password,
			"LEASE=1s", "RETENTION=soon", "SHUTDOWN_GRACE=-1", "LOG_LEVEL=loud", "PREFIX={" + password + "}"},
			nil, 78,
			[]string{"REDIS_URL", "BLOB_URL", "LEASE", "RETENTION", "SHUTDOWN_GRACE", "LOG_LEVEL", "PREFIX"}},
		{"wrong settings of web", "web dev", []string{"PORT=http", "MAX_WAIT=0", "MAX_UPLOAD=lots",
			"CORS_ORIGINS=ftp://x", "LONGSHORE_TOKEN=" + password + " " + password}, nil, 78,
			[]string{"PORT", "MAX_WAIT", "MAX_UPLOAD", "CORS_ORIGINS", "LONGSHORE_TOKEN"}},
		{"wrong settings of worker", "worker dev", []string{"WORKER_LANES=fast", "CPU_CONCURRENCY=0",
			"STREAM_CONCURRENCY=many", "KILL_GRACE=1h"}, nil, 78,
			[]string{"WORKER_LANES", "CPU_CONCURRENCY", "STREAM_CONCURRENCY", "KILL_GRACE"}},
		{"evicting Redis", "web worker", []string{"REDIS_URL=" + evicting.URL()}, nil, 78,
			[]string{"CONFIG SET maxmemory-policy noeviction"}},
		{"wrong password", "web worker", []string{"REDIS_URL=unix://limited:not-" + password + "@" + host},
			nil, 78, []string{"REDIS_URL", "password is wrong"}},
		{"user of Redis that may not work", "web worker", []string{"REDIS_URL=unix://limited:" + password +
			"@" + host}, nil, 78,
			[]string{"REDIS_URL", "user may not"}},
		{"user of Redis that may not look", "web worker",
			[]string{"REDIS_URL=unix://blind:" + password + "@" + host}, nil, 78,
			[]string{"REDIS_URL", "user may not"}},
		{"no Redis", "web worker", []string{"REDIS_URL=redis://me:" + password + "@127.0.0.1:1"}, nil, 69,
			[]string{"127.0.0.1:1", "connection refused"}},
		{"another folder", "web worker", []string{"BLOB_URL=file://" + t.TempDir()}, nil, 78,
			[]string{"BLOB_URL"}},
		{"no folder", "web worker", []string{"BLOB_URL=file:///proc/nowhere"}, nil, 78, []string{"BLOB_URL"}},
		{"port in use", "web", []string{"PORT=" + port}, nil, 78, []string{"PORT", "address already in use"}},
		{"port in use", "dev", []string{"PORT=" + port, "DATA_DIR=" + t.TempDir()}, nil, 78,
			[]string{"PORT", "address already in use"}},
		{"unknown flag", "web worker dev", nil, []string{"--prot=1"}, 2, []string{"prot", "--help"}},
		{"stray argument", "web worker dev", nil, []string{"start"}, 2, []string{"no arguments"}},
	} {
		for program := range strings.FieldsSeq(c.programs) {
			t.Run(c.name+"/"+program, func(t *testing.T) {
				code, stdout, stderr := call(t, "", append(in.env[:len(in.env):len(in.env)], c.env...),
					program, c.args...)
				if code != c.code {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				for _, text := range c.says {
					if !strings.Contains(stderr, text) {
						t.Errorf("does not say %q", text)
					}
				}
				if strings.Contains(stdout+stderr, password) {
					t.Error("tells the password")
				}
				if t.Failed() {
					t.Logf("stdout: %s\nstderr: %s", stdout, stderr)
				}
			})
		}
	}
}

// TestVersion asks every program for its version, without any settings.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"web", "worker", "enqueue", "dev"} {
		code, stdout, stderr := call(t, "", nil, name, "--version")
		if code != 0 || !strings.HasPrefix(stdout, "longshore "+name+" ") ||
			strings.Count(stdout, "\n") != 1 || stderr != "" {
			t.Errorf("%s --version: exit code %d, %q, %q", name, code, stdout, stderr)
		}
		if code, stdout, stderr := call(t, "", nil, name, "--help"); code != 0 || stdout+stderr == "" {
			t.Errorf("%s --help: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
}
