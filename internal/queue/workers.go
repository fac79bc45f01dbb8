package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A WorkerInfo is one worker process that is alive.
type WorkerInfo struct {
	Host  string           `json:"host"`
	PID   int              `json:"pid"`
	Slots map[job.Lane]int `json:"slots"` // of the lanes that it serves
}

const (
	// aliveEvery is the time between two signs of life of a worker; one that
	// has given none for aliveFor is not listed any more.
	aliveEvery = 5 * time.Second
	aliveFor   = 15 * time.Second
)

// workersKey names a sorted set: what a worker says of itself, as JSON, by the
// time at which it said so last (ms).
func (q *Queue) workersKey() string { return q.prefix + ":workers" }

var aliveScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if ARGV[2] then redis.call('ZADD', KEYS[1], now, ARGV[2]) end
return redis.call('ZRANGE', KEYS[1], 0, -1)`)

// Workers lists the worker processes that have given a sign of life lately,
// sorted by host and process id. One that was killed is listed for up to 15 s more.
func (q *Queue) Workers(ctx context.Context) ([]WorkerInfo, error) {
	texts, err := aliveScript.Run(ctx, q.rdb, []string{q.workersKey()}, aliveFor.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	var workers []WorkerInfo
	for _, text := range texts {
		var w WorkerInfo
		if json.Unmarshal([]byte(text), &w) == nil { // else of another version: not ours to judge
			workers = append(workers, w)
		}
	}
	slices.SortFunc(workers, func(a, b WorkerInfo) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
	return workers, nil
}

// alive gives signs of life until ctx ends, and takes the last one back.
func (s *Server) alive(ctx context.Context) {
	w := WorkerInfo{PID: os.Getpid(), Slots: map[job.Lane]int{}}
	w.Host, _ = os.Hostname() // "" where there is none
	for _, l := range s.lanes {
		w.Slots[l.name] = l.slots
	}
	text, err := json.Marshal(w)
	if err != nil {
		return // can't be: texts and numbers
	}
	q := s.queue
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := aliveScript.Run(ctx, q.rdb, []string{q.workersKey()}, aliveFor.Milliseconds(), text).Err(); err != nil && ctx.Err() == nil {
			q.log.DebugContext(ctx, "no sign of life given", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := q.rdb.ZRem(last, q.workersKey(), text).Err(); err != nil {
		q.log.DebugContext(last, "sign of life not taken back", "error", err)
	}
}
