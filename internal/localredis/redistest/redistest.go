// Package redistest gives tests a Redis: one redis-server a test process, with
// a key prefix of its own for each test, or a server of its own for tests that
// kill it. A package that uses it needs
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// Without a redis-server on PATH the tests run on the in-memory stand-in, and
// say so once.
package redistest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"longshore/internal/localredis"
	"longshore/internal/redisdb"
)

// shared is the server of this test process, started by its first user.
var shared struct {
	mu     sync.Mutex
	server *localredis.Server
	client redis.UniversalClient // of Clear
	err    error
}

// Main runs the tests of a package, ends the shared server, and reports
// goroutines that are still there. It does not return.
func Main(m *testing.M, opts ...goleak.Option) { os.Exit(Run(m, opts...)) }

// Run is Main for a package with something of its own to clean up: it returns
// the exit code.
func Run(m *testing.M, opts ...goleak.Option) int {
	redisdb.LogTo(slog.New(slog.DiscardHandler)) // tests lose connections on purpose
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "redistest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(opts...); err != nil {
			fmt.Fprintln(os.Stderr, "redistest: goroutines left over:", err)
			code = 1
		}
	}
	return code
}

func closeShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return nil
	}
	if shared.client != nil {
		_ = shared.client.Close()
	}
	return shared.server.Close()
}

// server returns the shared server. Only its URL is for use: whoever wants to
// kill a server takes New.
func server(t testing.TB) *localredis.Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start(context.Background(), localredis.Options{})
		if shared.err == nil && shared.server.Memory() {
			fmt.Fprintln(os.Stderr, "redis-server not found: tests run on the in-memory stand-in")
		}
	}
	if shared.err != nil {
		t.Fatalf("start the shared redis: %v", shared.err)
	}
	return shared.server
}

func start(ctx context.Context, o localredis.Options) (*localredis.Server, error) {
	s, err := localredis.Start(ctx, o)
	if errors.Is(err, localredis.ErrNoBinary) {
		return localredis.StartMemory(ctx)
	}
	return s, err
}

// URL returns the address of the shared server.
func URL(t testing.TB) string {
	t.Helper()
	return server(t).URL()
}

// Real reports whether tests run on a redis-server. A test that needs one skips
// with a word where they don't.
func Real() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// Prefix returns a prefix for keys, channels and queues that no other test
// uses: letters and digits, like "t4f2a9c01". Its keys on the shared server go with the test.
func Prefix(t testing.TB) string {
	t.Helper()
	var b [4]byte
	rand.Read(b[:])
	prefix := "t" + hex.EncodeToString(b[:])
	t.Cleanup(func() { Clear(prefix) })
	return prefix
}

// Clear removes what a prefix has on the shared server. Tests list keys by KEYS, which goes through those of
// all others too: a server that keeps what each has left spends most of its time on that.
func Clear(prefix string) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return
	}
	if shared.client == nil {
		var err error
		shared.client, err = redisdb.Open(redisdb.Config{URL: shared.server.URL(), MaxConnections: 1})
		if err != nil {
			return
		}
	}
	ctx := context.Background()
	for some := range slices.Chunk(shared.client.Keys(ctx, "*"+prefix+"*").Val(), 1000) {
		shared.client.Unlink(ctx, some...) // what can't be removed is only in the way
	}
}

// Client returns a client of the shared server with production's options and
// room for 16 connections. It is closed at the end of the test.
func Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	return ClientOf(t, URL(t))
}

// ClientOf is Client for a server of one's own.
func ClientOf(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisdb.Open(redisdb.Config{URL: url, MaxConnections: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // a test may have closed it
	return client
}

// New starts a server of the test's own without persistence, ended at the
// test's end. It skips the test where there is no redis-server: the stand-in
// can't be killed or paused.
func New(t testing.TB) *localredis.Server {
	t.Helper()
	return NewWith(t, localredis.Options{})
}

// NewWith is New with options.
func NewWith(t testing.TB, o localredis.Options) *localredis.Server {
	t.Helper()
	s, err := localredis.Start(t.Context(), o)
	if errors.Is(err, localredis.ErrNoBinary) {
		t.Skip("needs a redis-server on PATH")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
