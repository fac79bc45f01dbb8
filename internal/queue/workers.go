package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// Types are those that it runs; nil of a release that doesn't tell, and
	// knows nothing of parked tickets.
	Types []string `json:"types"`
	// Draining says that it takes nothing more and finishes what it has.
	Draining bool `json:"draining,omitempty"`
}

func (w WorkerInfo) legacy() bool { return w.Types == nil }

// Serves reports whether the worker takes jobs of a type from a lane. One that
// doesn't tell its types may.
func (w WorkerInfo) Serves(typ string, l job.Lane) bool {
	return !w.Draining && w.Slots[l] > 0 && (w.legacy() || slices.Contains(w.Types, typ))
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

// aliveScript drops who was silent. Without ARGV[2] it lists the others; else
// that is what a worker says, in place of ARGV[3] before.
var aliveScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if not ARGV[2] then return redis.call('ZRANGE', KEYS[1], 0, -1) end
if ARGV[3] ~= ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[3]) end
redis.call('ZADD', KEYS[1], now, ARGV[2])
return 1`)

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

// about is what the server says of itself now.
func (s *Server) about(stopping bool) string {
	w := WorkerInfo{PID: os.Getpid(), Slots: map[job.Lane]int{}, Types: append([]string{}, s.types...), Draining: stopping || s.quiet.Load()}
	w.Host, _ = os.Hostname() // "" where there is none
	for _, l := range s.lanes {
		w.Slots[l.name] = l.slots
	}
	text, err := json.Marshal(w)
	if err != nil {
		return "{}" // can't be: texts and numbers
	}
	return string(text)
}

// sayAlive gives a sign of life, and learns whether older workers are about.
func (s *Server) sayAlive(ctx context.Context, text, before string) {
	q := s.queue
	err := aliveScript.Run(ctx, q.rdb, []string{q.workersKey()}, aliveFor.Milliseconds(), text, before).Err()
	if err == nil {
		err = q.rdb.Get(ctx, q.legacyKey()).Err()
		if err == nil || errors.Is(err, redis.Nil) {
			s.legacy.Store(err == nil)
			return
		}
	}
	if ctx.Err() == nil {
		q.log.DebugContext(ctx, "no sign of life given", "error", err)
	}
}

// alive gives signs of life until ctx ends, and takes the last one back. When
// stopping is closed or Quiet was called, it says so at once.
func (s *Server) alive(ctx context.Context, stopping <-chan struct{}) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	said, stops := "", false
	for ctx.Err() == nil {
		text := s.about(stops)
		s.sayAlive(ctx, text, said)
		said = text
		select {
		case <-tick.C:
		case <-s.changed:
		case <-stopping:
			stops, stopping = true, nil
		case <-ctx.Done():
		}
	}
	q := s.queue
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := q.rdb.ZRem(last, q.workersKey(), said).Err(); err != nil {
		q.log.DebugContext(last, "sign of life not taken back", "error", err)
	}
}
