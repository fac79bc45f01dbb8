package redisdb_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

// TestCluster writes keys of slots on all nodes through one client, in one pipeline,
// and finds each where the slot says.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	client := redistest.ClientOf(t, cluster.URL)
	const keys = 64
	if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range keys {
			p.Set(t.Context(), fmt.Sprintf("{%d}", i), i, 0)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		if n, err := client.Get(t.Context(), fmt.Sprintf("{%d}", i)).Int(); err != nil || n != i {
			t.Errorf("key %d is %d, %v", i, n, err)
		}
	}
	var sum atomic.Int64
	err := client.(*redis.ClusterClient).ForEachMaster(t.Context(),
		func(ctx context.Context, node *redis.Client) error {
			n, err := node.DBSize(ctx).Result()
			if n == 0 {
				t.Error("a master has no key")
			}
			sum.Add(n)
			return err
		})
	if err != nil {
		t.Error(err)
	}
	if sum.Load() != keys {
		t.Errorf("%d keys on all masters, want %d", sum.Load(), keys)
	}
}

// TestScriptsOfAMovingSlot calls scripts that find out their keys by themselves while the slot of these
// goes to another master: nothing of them is done until all keys are there.
func TestScriptsOfAMovingSlot(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	client := redistest.ClientOf(t, cluster.URL)
	const tag, keys = "{0}:", 25
	for i := range keys {
		if err := client.Set(t.Context(), fmt.Sprint(tag, i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	count := redis.NewScript("#!lua flags=allow-oom\n" + `
redis.call('INCR', KEYS[1] .. 'runs')
local n = 0
for i = 0, tonumber(ARGV[1]) - 1 do n = n + redis.call('EXISTS', KEYS[1] .. i) end
return n`)
	refused := 0
	between := func() {
		if err := count.Run(t.Context(), client, []string{tag}, keys).Err(); redisdb.Reason(err) !=
			redisdb.ReasonMoved {
			t.Errorf("a script of a slot that moves: %v", err)
		}
		_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			count.Eval(t.Context(), p, []string{tag}, keys)
			return nil
		})
		if redisdb.Reason(err) != redisdb.ReasonMoved {
			t.Errorf("one in a pipeline: %v", err)
		}
		refused++
	}
	moved := 0
	for from := range cluster.Masters {
		if moved == 0 {
			moved = cluster.Move(t, from, between)
		}
	}
	if moved != keys || refused < 3 {
		t.Fatalf("invalid run: %d keys were moved, %d refusals", moved, refused)
	}
	if n, err := count.Run(t.Context(), client, []string{tag}, keys).Int(); err != nil || n != keys {
		t.Errorf("afterwards it finds %d keys, %v", n, err)
	}
	if n := client.Get(t.Context(), tag+"runs").Val(); n != "1" {
		t.Errorf("%s runs, want one", n)
	}
}
