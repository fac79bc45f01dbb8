// Package localredis starts a private Redis: a redis-server child that listens
// on a socket of its own and dies with its parent, or an in-process stand-in
// where no redis-server is installed. Package cmd/dev and all tests run on it.
package localredis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrNoBinary says that there is no redis-server on PATH.
var ErrNoBinary = errors.New("redis-server not found on PATH")

// ErrInUse says that another redis-server works in the data folder.
var ErrInUse = errors.New("data folder is in use by another redis-server")

// Options choose how the server runs. The zero value is a server without
// persistence on a Unix socket.
type Options struct {
	// DataDir is the folder for the append-only file, created where missing;
	// it is fsynced every second. Empty: nothing is kept.
	DataDir string
	// TCP makes the server listen on a free port of 127.0.0.1, and URL name
	// it. Otherwise it has no port at all.
	TCP bool
	// Config is what a configuration file of its own says, which the server may
	// rewrite, as a sentinel does. Empty: it has none.
	Config string
	// Args are more settings on the command line ("--replicaof", "host port"), or
	// "--sentinel"; they win over all others.
	Args []string
	// Env is added to the environment of the process ("LD_PRELOAD=…").
	Env []string
}

// How long a server may take to answer its first PING (a large append-only
// file takes a while to load) and to end after SIGTERM.
const (
	startTimeout = time.Minute
	stopTimeout  = 5 * time.Second
)

// A Server is one private Redis. Its methods are safe for concurrent use.
type Server struct {
	url    string
	binary string
	args   []string
	env    []string
	dir    string // holds the socket; removed by Close
	data   string // Options.DataDir
	socket string
	memory *memory // nil for a redis-server

	mu    sync.Mutex
	child *child // the last one started
}

// Start runs redis-server and returns once it answers. It returns ErrNoBinary
// where none is installed and ErrInUse where the data folder is taken. The
// context bounds the start only; Close ends the server.
func Start(ctx context.Context, o Options) (*Server, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoBinary
	}
	// A port that was free a moment ago can be taken when Redis asks for it.
	for attempt := 1; ; attempt++ {
		s, err := newServer(binary, o)
		if err != nil {
			return nil, err
		}
		err = s.start(ctx)
		if err == nil {
			return s, nil
		}
		os.RemoveAll(s.dir)
		if !o.TCP || attempt == 3 || errors.Is(err, ErrInUse) || ctx.Err() != nil {
			return nil, err
		}
	}
}

// newServer makes the folder of the socket and the command line.
func newServer(binary string, o Options) (*Server, error) {
	dir, err := socketDir()
	if err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	s := &Server{binary: binary, env: o.Env, dir: dir, socket: filepath.Join(dir, "s")}
	s.url = "unix://" + s.socket
	port := 0
	if o.TCP {
		if port, err = freePort(); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		s.url = fmt.Sprintf("redis://127.0.0.1:%d", port)
	}
	s.args = []string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1",
		"--unixsocket", s.socket, "--unixsocketperm", "700",
		"--save", "", "--maxmemory-policy", "noeviction",
		"--daemonize", "no", "--loglevel", "notice",
	}
	if err := s.configure(o); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

// configure makes the folders and files that the options name, and adds them to
// the command line.
func (s *Server) configure(o Options) (err error) {
	if o.Config != "" {
		file := filepath.Join(s.dir, "redis.conf")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		s.args = append([]string{file}, s.args...)
	}
	if o.DataDir == "" {
		s.args = append(append(s.args, "--dir", s.dir), o.Args...)
		return nil
	}
	if s.data, err = filepath.Abs(o.DataDir); err == nil {
		err = os.MkdirAll(s.data, 0o700)
	}
	if err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	s.args = append(s.args, "--dir", s.data, "--appendonly", "yes", "--appendfsync", "everysec")
	s.args = append(s.args, o.Args...)
	return nil
}

// socketDir makes a folder whose path leaves room for a socket's name: the
// kernel takes at most 104 bytes (macOS) or 108 (Linux).
func socketDir() (string, error) {
	base := os.TempDir()
	if len(base) > 70 {
		base = "/tmp"
	}
	return os.MkdirTemp(base, "lsredis")
}

// URL returns the server's address as go-redis reads it: unix:///path, or
// redis://127.0.0.1:port.
func (s *Server) URL() string { return s.url }

// Memory reports whether this is the in-process stand-in, which keeps nothing.
func (s *Server) Memory() bool { return s.memory != nil }

// Done returns a channel that is closed when the process that now runs has
// ended, whoever ended it. After Restart ask again.
func (s *Server) Done() <-chan struct{} {
	if s.memory != nil {
		return s.memory.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child.done
}

// Close ends the server in good order and removes its socket; a data folder
// stays. A second Close does nothing.
func (s *Server) Close() error {
	if s.memory != nil {
		s.memory.close()
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child.stop()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove socket folder: %w", err)
	}
	return nil
}

// Kill ends the process by SIGKILL, as the kernel would, and waits for its end.
// Like Pause and Resume it returns os.ErrProcessDone where it has ended before.
func (s *Server) Kill() error {
	return s.withChild("kill", func(c *child) error {
		err := c.signal(syscall.SIGKILL)
		<-c.done
		return err
	})
}

// Pause stops the process (SIGSTOP): connections stay, answers don't come.
func (s *Server) Pause() error {
	return s.withChild("pause", func(c *child) error { return c.signal(syscall.SIGSTOP) })
}

// Resume lets a paused process go on (SIGCONT).
func (s *Server) Resume() error {
	return s.withChild("resume", func(c *child) error { return c.signal(syscall.SIGCONT) })
}

// Restart starts the server again at the same address and with the same data
// folder, after ending it in good order where it still runs. Without a data
// folder it comes back empty.
func (s *Server) Restart(ctx context.Context) error {
	return s.withChild("restart", func(c *child) error {
		c.stop()
		return s.startLocked(ctx)
	})
}

func (s *Server) withChild(action string, do func(*child) error) error {
	if s.memory != nil {
		return fmt.Errorf("%s in-memory redis: %w", action, errors.ErrUnsupported)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(s.child); err != nil {
		return fmt.Errorf("%s redis-server: %w", action, err)
	}
	return nil
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.startLocked(ctx); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	return nil
}

// startLocked starts a child and waits until it answers PING.
func (s *Server) startLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := startChild(s.binary, s.args, s.env, s.data)
	if err != nil {
		return err
	}
	s.child = c
	if err := c.awaitPong(ctx, s.socket); err != nil {
		_ = c.signal(syscall.SIGKILL)
		<-c.done
		return err
	}
	return nil
}
