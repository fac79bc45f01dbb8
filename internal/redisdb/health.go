package redisdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Health is what a server tells of itself. Numbers that it hides are 0.
type Health struct {
	Version    string // "" = hidden
	Eviction   string // maxmemory-policy; "" = hidden
	AOF        bool
	UsedMemory int64 // bytes
	MaxMemory  int64 // bytes; 0 = no limit of its own
	Clients    int
	MaxClients int
	RoundTrip  time.Duration
	Skew       time.Duration // how far our clock is ahead of the server's
	Problems   error         // of Check: the server must not hold a queue
	Warnings   []string      // of Check
}

// Inspect asks a server how it is. The error says that it does not answer.
func Inspect(ctx context.Context, client redis.UniversalClient) (Health, error) {
	var h Health
	if err := client.Ping(ctx).Err(); err != nil { // and the connection is there
		return h, fmt.Errorf("ping redis: %w", err)
	}
	before := time.Now()
	now, err := client.Time(ctx).Result()
	if err != nil {
		return h, fmt.Errorf("ask redis for the time: %w", err)
	}
	h.RoundTrip = time.Since(before)
	h.Skew = before.Add(h.RoundTrip / 2).Sub(now)
	if h.Warnings, err = Check(ctx, client); errors.Is(err, ErrUnsuitable) {
		h.Problems = err
	} else if err != nil {
		return h, err
	}
	text, err := client.Info(ctx).Result()
	if err != nil {
		return h, nil // Check has warned
	}
	info := parseInfo(text)
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64) // hidden: 0
		return n
	}
	h.Version, h.Eviction, h.AOF = info["redis_version"], info["maxmemory_policy"], info["aof_enabled"] == "1"
	h.UsedMemory, h.MaxMemory = number("used_memory"), number("maxmemory")
	h.Clients, h.MaxClients = int(number("connected_clients")), int(number("maxclients"))
	return h, nil
}
