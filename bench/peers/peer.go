package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

//go:embed foreign
var foreign embed.FS

// A peer is one job queue and how it is set up here.
type peer struct {
	name     string
	settings string
	server   string // "redis" or "postgres"
	share    int    // it gets this part of the jobs, in percent: the slow ones would take minutes
	// install makes sure that it can run; its error is the word with which it is left out.
	install func(dir string) error
	// command plays a role; for "work", n is the number of the process's own children, if it has any.
	command func(dir, role string, args ...string) *exec.Cmd
}

func peers() []peer {
	return []peer{
		inGo("longshore",
			fmt.Sprintf("records, events and retention on; %d slots; bulk 2,000 jobs a call, one producer",
				longshoreSlots), "redis"),
		inGo("asynq", fmt.Sprintf("v0.26.0; %d slots (its best); bulk by 64 goroutines", asynqSlots),
			"redis"),
		inGo("river",
			"v0.51.1; 2,000 slots, fetch each 2 to 20 ms; bulk by COPY, 5,000 a call; PostgreSQL 15, synchronous_commit off", "postgres"),
		{
			name: "bullmq", server: "redis", share: 100,
			settings: "6.7.0; concurrency 256, jobs removed when done; bulk 1,000 a call",
			install:  installBullMQ,
			command: func(dir, role string, args ...string) *exec.Cmd {
				return exec.Command("node", append([]string{filepath.Join(dir, "bullmq.mjs"), role},
					args...)...)
			},
		},
		{
			name: "sidekiq", server: "redis", share: 100,
			settings: "6.4.1 (Debian); 10 threads, its default; bulk 1,000 a call",
			install: func(dir string) error {
				return needs(dir, "sidekiq.rb", "ruby", "-e", "require 'sidekiq'")
			},
			command: func(dir, role string, args ...string) *exec.Cmd {
				file := filepath.Join(dir, "sidekiq.rb")
				if role == "work" {
					return exec.Command("sidekiq", "-c", "10", "-r", file)
				}
				return exec.Command("ruby", append([]string{file, role}, args...)...)
			},
		},
		{
			name: "celery", server: "redis", share: 10,
			settings: "5.2.6 (Debian); prefork, a child a core, prefetch 64, results off; bulk one by one, it has no other",
			install: func(dir string) error {
				return needs(dir, "celery_peer.py", "/usr/bin/python3", "-c", "import celery, redis")
			},
			command: func(dir, role string, args ...string) *exec.Cmd {
				if role == "work" {
					args = []string{strconv.Itoa(2)}
				}
				cmd := exec.Command("/usr/bin/python3",
					append([]string{filepath.Join(dir, "celery_peer.py"), role}, args...)...)
				cmd.Dir = dir
				return cmd
			},
		},
	}
}

var roles = map[string]role{"longshore": longshoreRole, "asynq": asynqRole, "river": riverRole}

// inGo is a peer that this program plays itself.
func inGo(name, settings, server string) peer {
	return peer{
		name: name, settings: settings, server: server, share: 100,
		install: func(string) error { return nil },
		command: func(dir, role string, args ...string) *exec.Cmd {
			self, err := os.Executable()
			if err != nil {
				panic(err) // Linux always knows
			}
			cmd := exec.Command(self, append([]string{"role", name, role}, args...)...)
			cmd.Env = []string{"BLOBS=" + filepath.Join(dir, "blobs")}
			return cmd
		},
	}
}

// needs copies the peer's program and tries whether its library is there.
func needs(dir, file string, try ...string) error {
	if out, err := exec.Command(try[0], try[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("not installed: %w: %.200s", err, out)
	}
	return unpack(dir, file)
}

func unpack(dir, file string) error {
	text, err := foreign.ReadFile("foreign/" + file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), text, 0o600)
}

func installBullMQ(dir string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return errors.New("npm is not installed")
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true}`),
		0o600); err != nil {
		return err
	}
	cmd := exec.Command("npm", "install", "--silent", "--no-audit", "--no-fund", "bullmq@6.7.0",
		"ioredis@5.8.2")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w: %.300s", err, out)
	}
	return unpack(dir, "bullmq.mjs")
}
