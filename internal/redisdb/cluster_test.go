package redisdb_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
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
