package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// A WorkerInfo is one worker process that is alive.
type WorkerInfo struct {
	Host  string           `json:"host"`
	PID   int              `json:"pid"`
	Slots map[job.Lane]int `json:"slots"` // of the lanes that it serves
	Types []string         `json:"types"` // those that it runs
	// Queues are those that it serves, as job.Share writes them; "*" = all. None: it is of a release that knows
	// the default one alone.
	Queues []string `json:"queues,omitempty"`
	// Draining says that it takes nothing more and finishes what it has.
	Draining bool   `json:"draining,omitempty"`
	Stopping bool   `json:"stopping,omitempty"` // … and ends then
	ID       string `json:"id,omitempty"`       // jobstore.Store's WorkerID; "" of an older release
	Version  string `json:"version,omitempty"`
	// Claims is the tenant whose jobs it claims over HTTP, "*" = all; "" of one that asks Redis. Types are globs then.
	Claims string `json:"-"`
	// SaidAt is the time of the last sign of life.
	SaidAt time.Time `json:"-"`
}

// Serves reports whether the worker takes jobs of a type from a place.
func (w WorkerInfo) Serves(typ string, at job.Place) bool {
	if at.Lane == job.LaneClaim {
		return w.Claims != "" && w.claims(typ, at)
	}
	return !w.Draining && w.Slots[at.Lane] > 0 && slices.Contains(w.Types, typ) && w.ServesQueue(at.Queue)
}

// ServesQueue reports whether the worker takes jobs from a queue.
func (w WorkerInfo) ServesQueue(queue string) bool {
	return job.SharesServe(w.Queues, queue)
}

// NamedQueues are those that workers name, the default one aside.
func NamedQueues(workers []WorkerInfo) (names []string) {
	for _, w := range workers {
		for _, said := range w.Queues {
			if s, err := job.ParseShare(said); err == nil && s.Queue != "" {
				names = append(names, s.Queue)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
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

// aliveScript drops who was silent, and tells whom. Without ARGV[2] it lists the others; else
// that is what a worker says, in place of ARGV[3] before, and how many there are is told, and with KEYS[2]
// which lists of queues that aren't the default one.
var aliveScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lost = redis.call('ZRANGE', KEYS[1], '-inf', now - ARGV[1], 'BYSCORE', 'WITHSCORES')
if lost[1] then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1]) end
if not ARGV[2] then return { lost, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') } end
if ARGV[3] ~= ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[3]) end
redis.call('ZADD', KEYS[1], now, ARGV[2])
local lists = KEYS[2] and redis.pcall('ZRANGE', KEYS[2], 0, -1) or {}
return { lost, {}, redis.call('ZCARD', KEYS[1]), lists.err and {} or lists }`)

// Workers lists the worker processes that have given a sign of life lately,
// sorted by host and process id. One that was killed is listed for up to 15 s more.
func (q *Queue) Workers(ctx context.Context) ([]WorkerInfo, error) {
	workers, _, _, err := q.alive(ctx)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	slices.SortFunc(workers, func(a, b WorkerInfo) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
	return workers, nil
}

// alive runs aliveScript, and tells of those that were lost. lists are those of the one partition, where
// there is one.
func (q *Queue) alive(ctx context.Context, said ...any) (
	all []WorkerInfo, n int, lists [][]string, err error) {
	keys := []string{q.workersKey()}
	if len(said) > 0 && q.parts == 1 {
		keys = append(keys, jobstore.ListsKey(q.prefix, 0))
	}
	args := append([]any{aliveFor.Milliseconds()}, said...)
	reply, err := aliveScript.Run(ctx, q.rdb, keys, args...).Slice()
	if err != nil {
		return nil, 0, nil, err
	}
	if len(reply) < 2 {
		return nil, 0, nil, fmt.Errorf("script answered %d values", len(reply))
	}
	for _, w := range parseWorkers(reply[0]) {
		if q.lost != nil {
			q.lost(ctx, w)
		}
	}
	if len(reply) > 3 {
		workers, _ := reply[2].(int64)
		n = int(workers)
	}
	if len(keys) > 1 && len(reply) > 3 {
		names, _ := reply[3].([]any)
		lists = [][]string{make([]string, len(names))}
		for i, name := range names {
			lists[0][i], _ = name.(string)
		}
	}
	return parseWorkers(reply[1]), n, lists, nil
}

// OnLost has f hear of each worker that was silent for too long. It is to be called before anything else.
func (q *Queue) OnLost(f func(context.Context, WorkerInfo)) { q.lost = f }

// parseWorkers reads lines with their times.
func parseWorkers(reply any) (workers []WorkerInfo) {
	list, _ := reply.([]any)
	for pair := range slices.Chunk(list, 2) {
		text, _ := pair[0].(string)
		var w WorkerInfo
		if len(pair) != 2 || json.Unmarshal([]byte(text), &w) != nil {
			continue // of another version: not ours to judge
		}
		said, _ := pair[1].(string)
		if ms, err := strconv.ParseFloat(said, 64); err == nil {
			w.SaidAt = time.UnixMilli(int64(ms)).UTC()
		}
		workers = append(workers, w)
	}
	return workers
}

// Info is what the server says of itself now.
func (s *Server) Info(stopping bool) WorkerInfo {
	w := WorkerInfo{PID: os.Getpid(), Slots: map[job.Lane]int{},
		Types: append([]string{}, *s.types.Load()...), Draining: stopping || s.quiet.Load(),
		Stopping: stopping, ID: s.store.WorkerID(), Version: s.version, Queues: []string{job.AllQueues}}
	if len(s.shares) > 0 {
		w.Queues = nil
		for _, share := range s.shares {
			w.Queues = append(w.Queues, share.String())
		}
	}
	w.Host, _ = os.Hostname() // "" where there is none
	for _, l := range s.lanes {
		w.Slots[l.name] = l.slots
	}
	return w
}

func (s *Server) about(stopping bool) string {
	w := s.Info(stopping)
	text, err := json.Marshal(w)
	if err != nil {
		return "{}" // can't be: texts and numbers
	}
	return string(text)
}

// sayAlive gives a sign of life.
func (s *Server) sayAlive(ctx context.Context, text, before string) {
	q := s.queue
	_, n, lists, err := q.alive(ctx, text, before)
	if err == nil && lists == nil {
		lists, err = q.lists(ctx)
	}
	if err != nil && ctx.Err() == nil {
		q.log.DebugContext(ctx, "no sign of life given", "error", err)
	}
	if err == nil {
		for _, l := range s.lanes {
			l.picker.setCrowd(n)
		}
		q.learn(ctx, lists)
		for _, l := range s.lanes {
			l.picker.sync(q.all())
		}
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
