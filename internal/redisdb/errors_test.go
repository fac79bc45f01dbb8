package redisdb_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

// reply is an error reply of Redis, as go-redis types it.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want string
	}{
		{nil, ""},
		{redis.Nil, ""},
		{errors.New("any other"), ""},
		{context.Canceled, ""},
		{fmt.Errorf("get: %w", context.Canceled), ""},
		{reply("ERR unknown command"), ""},
		{reply("WRONGTYPE Operation against a key holding the wrong kind of value"), ""},
		{reply("NOSCRIPT No matching script. Please use EVAL."), ""},
		{context.DeadlineExceeded, "timeout"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "network"},
		{io.EOF, "network"},
		{fmt.Errorf("start: %w", io.ErrUnexpectedEOF), "network"},
		{syscall.EPIPE, "network"},
		{net.ErrClosed, "network"},
		{redis.ErrClosed, "closed"},
		{redis.ErrPoolTimeout, "pool_timeout"},
		{redis.ErrPoolExhausted, "pool_timeout"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "tls"},
		{reply("LOADING Redis is loading the dataset in memory"), "loading"},
		{reply("READONLY You can't write against a read only replica."), "read_only"},
		{fmt.Errorf("start: %w", reply("OOM command not allowed when used memory > 'maxmemory'.")),
			"out_of_memory"},
		{reply("MISCONF Redis is configured to save RDB snapshots"), "misconfigured"},
		{reply("CLUSTERDOWN The cluster is down"), "cluster_down"},
		{reply("TRYAGAIN Multiple keys request during rehashing of slot"), "moved"},
		{reply("MOVED 1 127.0.0.1:7000"), "moved"},
		{reply("MASTERDOWN Link with MASTER is down"), "master_down"},
		{reply("NOREPLICAS Not enough good replicas to write."), "no_replicas"},
		{reply("NOAUTH Authentication required."), "no_auth"},
		{reply("WRONGPASS invalid username-password pair or user is disabled."), "no_auth"},
		{reply("NOPERM this user has no permissions to run the 'set' command"), "no_permission"},
		{
			reply(
				"ERR The user executing the script can't run this command or subcommand script: 2f4f, on @user_script:12."), "no_permission"},
		{
			reply(
				"ERR The user executing the script can't access at least one of the keys mentioned in the command"), "no_permission"},
		{reply("ERR ACL failure in script: User x has no permissions to run the 'time' command"),
			"no_permission"},
		{reply("BUSY Redis is busy running a script."), "busy"},
		{reply("ERR max number of clients reached"), "too_many_clients"},
		// asynq passes errors on as text.
		{errors.New("UNKNOWN: redis eval error: OOM command not allowed when used memory > 'maxmemory'."),
			"out_of_memory"},
		{errors.New("INTERNAL: redis eval error: dial tcp 127.0.0.1:1: connect: connection refused"),
			"network"},
		{errors.New("UNKNOWN: redis eval error: EOF"), "network"},
		{errors.New("UNKNOWN: redis eval error: read unix @->/s: i/o timeout"), "timeout"},
		{errors.New("UNKNOWN: redis eval error: redis: connection pool timeout"), "pool_timeout"},
		{errors.New("UNKNOWN: redis eval error: redis: client is closed"), "closed"},
		{errors.New("task id conflicts with another task"), ""},
	}
	for _, tt := range tests {
		if got := redisdb.Reason(tt.err); got != tt.want {
			t.Errorf("Reason(%v) = %q, want %q", tt.err, got, tt.want)
		}
		if got := redisdb.Unavailable(tt.err); got != (tt.want != "") {
			t.Errorf("Unavailable(%v) = %v", tt.err, got)
		}
	}
}

// TestReasonOfRealFaults takes the errors from a server instead of a table.
func TestReasonOfRealFaults(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	ctx := t.Context()
	admin := redistest.ClientOf(t, server.URL())
	reason := func(err error) string {
		t.Helper()
		if err == nil {
			t.Error("no error at all")
		}
		return redisdb.Reason(err)
	}
	expect := func(want string, err error) {
		t.Helper()
		if got := reason(err); got != want {
			t.Errorf("Reason(%v) = %q, want %q", err, got, want)
		}
	}
	write := func(c redis.UniversalClient) error { return c.Set(ctx, "k", "v", 0).Err() }
	script := redis.NewScript(`return redis.call("SET", KEYS[1], "v")`)

	admin.ConfigSet(ctx, "maxmemory", "1")
	expect("out_of_memory", write(admin))
	expect("out_of_memory", script.Run(ctx, admin, []string{"k"}).Err())
	admin.ConfigSet(ctx, "maxmemory", "0")

	admin.Do(ctx, "ACL", "SETUSER", "guest", "on", ">x", "+ping", "+hello")
	guest, err := redisdb.Open(redisdb.Config{URL: "unix://guest:x@" + server.URL()[len("unix://"):]})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	expect("no_permission", write(guest))
	intruder, err := redisdb.Open(redisdb.Config{URL: "unix://guest:y@" + server.URL()[len("unix://"):]})
	if err != nil {
		t.Fatal(err)
	}
	defer intruder.Close()
	expect("no_auth", write(intruder))

	admin.Do(ctx, "REPLICAOF", "127.0.0.1", "1")
	expect("read_only", write(admin))
	admin.Do(ctx, "REPLICAOF", "NO", "ONE")

	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	expect("timeout", admin.Set(short, "k", "v", 0).Err())
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	expect("network", write(admin))
	admin.Close()
	expect("closed", write(admin))
}

// TestRecovers holds that a client serves again after its server came back.
func TestRecovers(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	c := redistest.ClientOf(t, server.URL())
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Every connection of the pool is dead now, and nobody sees an error.
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}
