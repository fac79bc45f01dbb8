package redisdb

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Memory watches how full a Redis is. A full one still lets jobs end, but it
// needs room for that: so new ones are refused before.
type Memory struct {
	rdb  redis.UniversalClient
	full atomic.Bool
}

const (
	// lookTimeout bounds a look, so that a Redis that hangs doesn't stop the next.
	lookTimeout = time.Second
	// MemoryFull is the part of maxmemory, in percent, from which Redis counts as full.
	MemoryFull = 80
)

// NewMemory returns a watch; Look makes it know something.
func NewMemory(rdb redis.UniversalClient) *Memory { return &Memory{rdb: rdb} }

// Full reports whether Redis used at least 80 % of its maxmemory when it was
// last looked at. One without a limit, or that doesn't tell, is never full.
func (m *Memory) Full() bool { return m.full.Load() }

// Look asks Redis, each node of a Cluster, now. One that is away is not full: what is
// submitted meanwhile meets that trouble, not this one.
func (m *Memory) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	full, err := anyFull(ctx, m.rdb)
	m.full.Store(full)
	if err != nil {
		return fmt.Errorf("look at the memory of redis: %w", err)
	}
	return nil
}

func anyFull(ctx context.Context, rdb redis.UniversalClient) (full bool, err error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return isFull(ctx, rdb)
	}
	var some atomic.Bool
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		full, err := isFull(ctx, node)
		if full {
			some.Store(true)
		}
		return err
	})
	return some.Load(), err
}

func isFull(ctx context.Context, node redis.Cmdable) (bool, error) {
	used, limit, err := usedOf(ctx, node)
	return limit > 0 && used >= limit/100*MemoryFull, err
}

func usedOf(ctx context.Context, node redis.Cmdable) (used, limit int64, err error) {
	text, err := node.Info(ctx, "memory").Result()
	if err != nil {
		return 0, 0, err
	}
	info := parseInfo(text)
	used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	limit, _ = strconv.ParseInt(info["maxmemory"], 10, 64) // 0 = none; absent from the stand-in in memory
	return used, limit, nil
}

// Used is what a Redis holds and may hold, in bytes; of a Cluster, the node that is fullest. A limit of 0:
// there is none.
func Used(ctx context.Context, rdb redis.UniversalClient) (used, limit int64, err error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return usedOf(ctx, rdb)
	}
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		u, l, err := usedOf(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if l > 0 && (limit == 0 || float64(u)/float64(l) > float64(used)/float64(limit)) {
			used, limit = u, l
		}
		return err
	})
	return used, limit, err
}
