package queue

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// withParked makes a script that uses the words of parked.lua.
func withParked(flags, source string) *redis.Script {
	return redis.NewScript("#!lua flags=" + flags + "\nlocal call, sub, find = redis.call, string.sub, string.find\n" + parkedSource + source)
}

//go:embed park.lua
var parkSource string

//go:embed unpark.lua
var unparkSource string

//go:embed head.lua
var headSource string

//go:embed state.lua
var stateSource string

var (
	parkScript   = withParked("allow-oom", parkSource)
	unparkScript = withParked("allow-oom", unparkSource)
	headScript   = withParked("allow-oom", headSource)
	stateScript  = withParked("no-writes", stateSource)
)

const (
	unparkSize = 1000 // tickets of a type that go back in one call
	mindEvery  = 4500 * time.Millisecond
	legacyFor  = 4 * mindEvery
)

// park puts active tickets aside whose types are not served here.
func (q *Queue) park(ctx context.Context, n queueName, tickets []job.Ticket) error {
	if len(tickets) == 0 {
		return nil
	}
	args := []any{n.name, q.RingChannel()}
	for _, t := range tickets {
		args = append(args, t.Name(), t.Type)
	}
	if err := parkScript.Run(ctx, q.rdb, []string{n.keys + "pending"}, args...).Err(); err != nil {
		return fmt.Errorf("put tickets aside: %w", err)
	}
	return nil
}

// legacyKey is there while workers of a release that parks nothing are about:
// they would never see what is parked.
func (q *Queue) legacyKey() string { return q.prefix + ":legacy" }

// Mind looks after parked tickets. Each process is to call it every five
// seconds; one of them does it then, which is told.
//
// Workers of a release that parks nothing may serve a type that no other does.
// While any is about, nothing more is parked, and what stands parked without
// anybody to serve it goes back to where all take.
func (q *Queue) Mind(ctx context.Context) (did bool, err error) {
	if did, err = q.rdb.SetNX(ctx, q.prefix+":minded", "1", mindEvery).Result(); err != nil || !did {
		return false, err
	}
	workers, err := q.Workers(ctx)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(workers, WorkerInfo.legacy) {
		return true, q.rdb.Del(ctx, q.legacyKey()).Err()
	}
	if err := q.rdb.Set(ctx, q.legacyKey(), "1", legacyFor).Err(); err != nil {
		return true, err
	}
	for _, n := range q.names {
		types, err := q.rdb.SMembers(ctx, n.keys+"parked").Result()
		if err != nil {
			return true, fmt.Errorf("list parked types: %w", err)
		}
		for _, typ := range types {
			if slices.ContainsFunc(workers, func(w WorkerInfo) bool { return !w.legacy() && w.Serves(typ, n.lane) }) {
				continue
			}
			err := unparkScript.Run(ctx, q.rdb, []string{n.keys + "pending"}, n.name, q.RingChannel(), typ, unparkSize).Err()
			if err != nil {
				return true, fmt.Errorf("bring parked tickets back: %w", err)
			}
		}
	}
	return true, nil
}
