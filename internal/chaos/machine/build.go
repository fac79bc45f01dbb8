//go:build linux

package machine

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Sabotage switches one safeguard off in the programs of one run, by another text in one
// file of theirs. The sources stay as they are: the go command is told to read another file
// in the place of theirs (go help build, -overlay).
type Sabotage struct {
	Name string
	File string // from the module's root
	From string // stands there exactly once
	To   string
}

// Sabotages are the safeguards without which the checker must find something. That of fsync is
// none of ours: Redis is started without it.
var Sabotages = []Sabotage{
	{"fence", "internal/jobstore/lua/finish_long.lua", "if j.f ~= fence or j.f == '' then",
		"if j.s ~= 'running' and j.s ~= 'uploading' then"},
	{"sweeper", "internal/jobstore/sweep.go", "every := w.Every",
		"if ctx != nil { <-ctx.Done(); return nil }; every := w.Every"},
	{"fallback", "internal/hub/hub.go", "Fallback = 2400 * time.Millisecond", "Fallback = time.Hour"},
	{"idempotency", "internal/jobstore/lua/create.lua", "for i = 1, #claims, 2 do call('SET'",
		"for i = 1, 0, 2 do call('SET'"},
}

// Overlay writes what the go command is to be told for a sabotage, and returns the file's name.
func (s Sabotage) Overlay(root, dir string) (string, error) {
	path := filepath.Join(root, s.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), s.From); n != 1 {
		return "", fmt.Errorf("sabotage %s: %s has %d times %q, want once", s.Name, s.File, n, s.From)
	}
	changed := filepath.Join(dir, "sabotage-"+filepath.Base(s.File))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), s.From, s.To, 1)),
		0o600); err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}

// Build builds the programs and the worker of chaos runs into a folder, with a safeguard
// switched off where one is named. It runs in the module's root.
func Build(ctx context.Context, root, dir, sabotage string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	args := []string{"build"}
	for _, s := range Sabotages {
		if s.Name == sabotage {
			file, err := s.Overlay(root, dir)
			if err != nil {
				return err
			}
			args = append(args, "-overlay", file)
		}
	}
	build := exec.CommandContext(ctx, "go", append(args, "-o", dir+"/", "./cmd/web", "./cmd/enqueue", "./cmd/worker",
		"./internal/chaos")...)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

//go:embed preload/redis.c
var preloadSource string

// Preload builds the library that redis-server is started with in the passes of power and clock,
// into a folder. It needs a C compiler.
func Preload(ctx context.Context, dir string) (string, error) {
	source, library := filepath.Join(dir, "redis.c"), filepath.Join(dir, "redis.so")
	if err := os.WriteFile(source, []byte(preloadSource), 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "cc", "-shared", "-fPIC", "-O2", "-o", library, source).
		CombinedOutput(); err != nil {
		return "", fmt.Errorf("build what redis-server is started with: %w\n%s", err, out)
	}
	return library, nil
}
