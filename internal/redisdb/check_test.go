package redisdb_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	server := redistest.NewWith(t, localredis.Options{DataDir: t.TempDir()})
	admin := redistest.ClientOf(t, server.URL())
	set := func(name, value string) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// Each step changes one thing and says what Check must find.
	steps := []struct {
		name    string
		change  func()
		warning string
		problem string
	}{
		{name: "good", change: func() {}},
		{name: "evicts", change: func() { set("maxmemory-policy", "allkeys-lru") },
			problem: "CONFIG SET maxmemory-policy noeviction"},
		{name: "good again", change: func() { set("maxmemory-policy", "noeviction") }},
		{name: "nothing kept", change: func() { set("appendonly", "no") }, warning: "keeps nothing on disk"},
		{name: "snapshots", change: func() { set("save", "60 1") }, warning: "snapshots only"},
		{name: "replica", change: func() { admin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1") },
			warning: "snapshots only", problem: "a replica of 127.0.0.1:1"},
		{name: "primary again", change: func() { admin.Do(t.Context(), "REPLICAOF", "NO", "ONE") },
			warning: "snapshots only"},
		{name: "no CONFIG", change: func() { acl(t, server, "-config") }, warning: "hidden"},
		{name: "no INFO", change: func() { acl(t, server, "-info") }, warning: "does not let us read INFO"},
	}
	for _, step := range steps {
		step.change()
		// A fresh client: permissions may have changed.
		warnings, err := redisdb.Check(t.Context(), redistest.ClientOf(t, server.URL()))
		all := strings.Join(warnings, "\n")
		if step.warning == "" && all != "" || !strings.Contains(all, step.warning) {
			t.Errorf("%s: warnings %q, want %q", step.name, all, step.warning)
		}
		if (err != nil) != (step.problem != "") || err != nil && (!errors.Is(err, redisdb.ErrUnsuitable) ||
			!strings.Contains(err.Error(), step.problem)) {
			t.Errorf("%s: error %v, want %q", step.name, err, step.problem)
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := redisdb.Check(t.Context(), admin); !redisdb.Unavailable(err) ||
		errors.Is(err, redisdb.ErrUnsuitable) {
		t.Errorf("Check of a dead server = %v, want an unavailable one", err)
	}
}

func acl(t *testing.T, server *localredis.Server, rule string) {
	t.Helper()
	c := redistest.ClientOf(t, server.URL())
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckMemory(t *testing.T) {
	t.Parallel()
	server, err := localredis.StartMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	warnings, err := redisdb.Check(t.Context(), redistest.ClientOf(t, server.URL()))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "in memory") {
		t.Errorf("Check = %q, %v, want one warning", warnings, err)
	}
}

// TestCheckKind starts servers of the kinds that answer but can't hold records.
func TestCheckKind(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs a redis-server on PATH")
	}
	for _, kind := range []struct{ name, setting, problem string }{
		{"sentinel", "--sentinel", "it is a sentinel"},
		{"cluster", "--cluster-enabled yes", "a node of a Redis Cluster"},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			_, port, _ := net.SplitHostPort(address)
			l.Close()
			dir := t.TempDir()
			file := filepath.Join(dir, "redis.conf")
			if err := os.WriteFile(file, fmt.Appendf(nil, "port %s\nbind 127.0.0.1\ndir %s\n", port, dir),
				0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), binary,
				append([]string{file}, strings.Fields(kind.setting)...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cmd.Process.Kill()
				cmd.Wait()
			}()
			client := redistest.ClientOf(t, "redis://"+address)
			// until it listens; the test's own deadline bounds this
			for client.Ping(t.Context()).Err() != nil {
				if t.Context().Err() != nil {
					t.Fatal("the server does not answer")
				}
			}
			if _, err := redisdb.Check(t.Context(), client); !errors.Is(err, redisdb.ErrUnsuitable) ||
				!strings.Contains(err.Error(), kind.problem) {
				t.Errorf("Check = %v, want %q", err, kind.problem)
			}
		})
	}
}
