package localredis_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
)

func TestStartServes(t *testing.T) {
	t.Parallel()
	for _, tcp := range []bool{false, true} {
		s := redistest.NewWith(t, localredis.Options{TCP: tcp})
		if got, want := strings.HasPrefix(s.URL(), "redis://127.0.0.1:"), tcp; got != want {
			t.Errorf("URL() = %s with TCP = %v", s.URL(), tcp)
		}
		if s.Memory() {
			t.Error("a redis-server calls itself in memory")
		}
		set(t, redistest.ClientOf(t, s.URL()), "k", "v")
	}
}

func TestNoBinary(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := localredis.Start(t.Context(), localredis.Options{}); !errors.Is(err,
		localredis.ErrNoBinary) {
		t.Errorf("Start = %v, want ErrNoBinary", err)
	}
}

func TestBrokenBinarySaysWhy(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho the disk is on fire\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "redis-server"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	_, err := localredis.Start(t.Context(), localredis.Options{})
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("Start = %v, want the server's own words", err)
	}
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{true, false} {
		o := localredis.Options{}
		if keeps {
			o.DataDir = filepath.Join(t.TempDir(), "redis")
		}
		s := redistest.NewWith(t, o)
		c := redistest.ClientOf(t, s.URL())
		set(t, c, "k", "v")
		done := s.Done()
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		if err := s.Kill(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("second Kill = %v, want os.ErrProcessDone", err)
		}
		if err := c.Get(t.Context(), "k").Err(); err == nil {
			t.Error("a killed server answers")
		}
		url := s.URL()
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.URL() != url {
			t.Errorf("the address moved from %s to %s", url, s.URL())
		}
		// A new client: the old one waits a second after failed dials.
		got, err := redistest.ClientOf(t, s.URL()).Get(t.Context(), "k").Result()
		if keeps && got != "v" || !keeps && !errors.Is(err, redis.Nil) {
			t.Errorf("with a data folder %v: get = %q, %v", keeps, got, err)
		}
	}
}

func TestRestartOfRunningServerKeepsData(t *testing.T) {
	t.Parallel()
	s := redistest.NewWith(t, localredis.Options{DataDir: t.TempDir()})
	set(t, redistest.ClientOf(t, s.URL()), "k", "v")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := redistest.ClientOf(t, s.URL()).Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("get = %q, want v", got)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	c := redistest.ClientOf(t, s.URL())
	set(t, c, "k", "v")
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Get(ctx, "k").Err(); !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Errorf("get from a paused server = %v, want a timeout", err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := c.Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("after Resume get = %q, want v", got)
	}
}

func TestCloseEndsPausedServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	socket := strings.TrimPrefix(s.URL(), "unix://")
	if _, err := os.Stat(filepath.Dir(socket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's folder is still there: %v", err)
	}
}

func TestDataFolderHasOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := redistest.NewWith(t, localredis.Options{DataDir: dir})
	if _, err := localredis.Start(t.Context(), localredis.Options{DataDir: dir}); !errors.Is(err,
		localredis.ErrInUse) {
		t.Errorf("second Start = %v, want ErrInUse", err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	second := redistest.NewWith(t, localredis.Options{DataDir: dir})
	set(t, redistest.ClientOf(t, second.URL()), "k", "v")
}

func TestMemoryExpiresKeys(t *testing.T) {
	t.Parallel()
	s, err := localredis.StartMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Memory() {
		t.Error("Memory() = false")
	}
	c := redistest.ClientOf(t, s.URL())
	if err := c.Set(t.Context(), "k", "v", 150*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); c.Exists(t.Context(), "k").Val() == 1; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the key did not expire")
		}
	}
	if err := s.Kill(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Kill = %v, want ErrUnsupported", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-s.Done()
}

// TestMemoryRunsShebangScripts holds that scripts written for Redis 7 run on the
// stand-in as they are, by source and by digest.
func TestMemoryRunsShebangScripts(t *testing.T) {
	t.Parallel()
	s, err := localredis.StartMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := redistest.ClientOf(t, s.URL())
	script := redis.NewScript("#!lua flags=allow-oom\nreturn ARGV[1]")
	if err := script.EvalSha(t.Context(), c, nil, "a").Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("EVALSHA before EVAL = %v, want NOSCRIPT", err)
	}
	for range 2 {
		if got, err := script.Run(t.Context(), c, nil, "a").Result(); got != "a" {
			t.Errorf("run = %v, %v", got, err)
		}
	}
	if got, err := script.EvalSha(t.Context(), c, nil, "b").Result(); got != "b" {
		t.Errorf("EVALSHA after EVAL = %v, %v", got, err)
	}
	other := redis.NewScript("#!lua\nreturn 1")
	if err := other.Load(t.Context(), c).Err(); err != nil {
		t.Error(err)
	}
	if got := other.Exists(t.Context(), c).Val(); len(got) != 1 || !got[0] {
		t.Errorf("exists after load = %v", got)
	}
}

func TestSharedServer(t *testing.T) {
	t.Parallel()
	p := redistest.Prefix(t)
	if p == redistest.Prefix(t) {
		t.Error("two equal prefixes")
	}
	set(t, redistest.Client(t), p+":k", "v")
	if got := redistest.ClientOf(t, redistest.URL(t)).Get(t.Context(), p+":k").Val(); got != "v" {
		t.Errorf("get = %q: not one server", got)
	}
}

func set(t *testing.T, c redis.UniversalClient, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}
