package redisdb_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

// TestStall stops a server. Commands that wait then end with a timeout, also those
// that wait for one of the few connections; after them 1,000 more are refused, which
// would take most of an hour if each waited too; and all goes on with the server.
func TestStall(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	client, err := redisdb.Open(redisdb.Config{URL: server.URL(), MaxConnections: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := func(ctx context.Context) error { return client.Get(ctx, "k").Err() }
	pipe := func(ctx context.Context) error {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error { return p.Get(ctx, "k").Err() })
		return err
	}
	for range 2 {
		if err := ask(t.Context()); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		if err := server.Pause(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := ask(t.Context()); redisdb.Reason(err) != redisdb.ReasonTimeout {
					t.Errorf("a command that met the stall ended with %v", err)
				}
			})
		}
		wg.Wait()
		for i := range 1000 {
			way := ask
			if i%2 == 0 {
				way = pipe
			}
			if err := way(t.Context()); redisdb.Reason(err) != redisdb.ReasonTimeout {
				t.Fatalf("command %d in the stall ended with %v", i, err)
			}
		}
		if err := server.Resume(); err != nil {
			t.Fatal(err)
		}
		for err := ask(t.Context()); !errors.Is(err, redis.Nil); err = ask(t.Context()) {
			if redisdb.Reason(err) != redisdb.ReasonTimeout {
				t.Fatal(err)
			}
		}
	}
	// One that is closed meanwhile leaves nobody who asks on; redistest.Main looks.
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Resume() }()
	if err := ask(t.Context()); redisdb.Reason(err) != redisdb.ReasonTimeout {
		t.Errorf("a command that met the stall ended with %v", err)
	}
}
