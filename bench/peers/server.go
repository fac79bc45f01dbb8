package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// A server is the store of one or more peers.
type server interface {
	url() string
	usage() usage
	// clear makes it empty.
	clear(ctx context.Context) error
	// stored is the size of what it holds, in bytes.
	stored(ctx context.Context) (int64, error)
	close()
}

// A redisServer listens on loopback without persistence: a Redis whose disk is
// slow would blur all its peers alike.
type redisServer struct {
	cmd    *exec.Cmd
	client *redis.Client
	dir    string
	addr   string
}

func startRedis(ctx context.Context) (*redisServer, error) {
	dir, err := os.MkdirTemp("", "peers-redis")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &redisServer{dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	s.cmd = exec.Command("redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "",
		"--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.client = redis.NewClient(&redis.Options{Addr: s.addr})
	return s, retry(ctx, func() error { return s.client.Ping(ctx).Err() })
}

func (s *redisServer) url() string                     { return "redis://" + s.addr + "/0" }
func (s *redisServer) usage() usage                    { return treeUsage(s.cmd.Process.Pid) }
func (s *redisServer) clear(ctx context.Context) error { return s.client.FlushAll(ctx).Err() }

func (s *redisServer) stored(ctx context.Context) (int64, error) {
	info, err := s.client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r\n")
	return strconv.ParseInt(number, 10, 64)
}

func (s *redisServer) close() {
	s.client.Close()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// A postgresServer runs with synchronous_commit off, which spares River the
// wait for the disk: the Redis peers don't wait for one either.
type postgresServer struct {
	cmd  *exec.Cmd
	dir  string
	addr string
	conn *pgx.Conn
}

// postgresBin finds initdb and postgres, which Debian keeps off PATH.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// startPostgres makes a cluster in a temporary folder. PostgreSQL refuses to
// run as root, so root runs it as user postgres.
func startPostgres(ctx context.Context) (*postgresServer, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-postgres")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &postgresServer{dir: dir,
		addr: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)}
	as := func(name string, args ...string) *exec.Cmd {
		return exec.Command(filepath.Join(bin, name), args...)
	}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "postgres", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("chown: %w: %s", err, out)
		}
		as = func(name string, args ...string) *exec.Cmd {
			return exec.Command("setpriv",
				append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups",
					filepath.Join(bin, name)}, args...)...)
		}
	}
	data := filepath.Join(dir, "data")
	if out, err := as("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync").
		CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.cmd = as("postgres", "-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c",
		"listen_addresses=127.0.0.1", "-c", "synchronous_commit=off", "-c", "shared_buffers=512MB", "-c",
		"max_wal_size=4GB", "-c", "log_min_messages=fatal")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	err = retry(ctx, func() (err error) {
		s.conn, err = pgx.Connect(ctx, s.addr)
		return err
	})
	if err == nil {
		err = riverMigrate(ctx, s.addr)
	}
	return s, err
}

func (s *postgresServer) url() string  { return s.addr }
func (s *postgresServer) usage() usage { return treeUsage(s.cmd.Process.Pid) }

func (s *postgresServer) clear(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "TRUNCATE river_job")
	return err
}

func (s *postgresServer) stored(ctx context.Context) (n int64, err error) {
	err = s.conn.QueryRow(ctx, "SELECT pg_total_relation_size('river_job')").Scan(&n)
	return n, err
}

func (s *postgresServer) close() {
	if s.conn != nil {
		s.conn.Close(context.Background())
	}
	s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// retry tries until it works, for at most 20 s.
func retry(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
