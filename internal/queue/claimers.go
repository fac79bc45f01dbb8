package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/job"
)

// Programs that claim jobs over HTTP are workers too, in a set of their own: workers that ask Redis are
// counted to know how many ask at once, and these don't.

// claimerFor is how long one is listed that was not heard of.
const claimerFor = time.Minute

// A Claimer is such a program, as it calls itself.
type Claimer struct {
	Worker string   `json:"worker"`
	Tenant string   `json:"tenant"`           // whose jobs it claims; * = all
	Types  []string `json:"types"`            // globs
	Queues []string `json:"queues,omitempty"` // names; none = all
}

func (q *Queue) claimersKey() string { return q.prefix + ":claimers" }

var claimerScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if ARGV[2] then return redis.call('ZADD', KEYS[1], now, ARGV[2]) end
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')`)

// NoteClaimer notes that a program has asked for jobs.
func (q *Queue) NoteClaimer(ctx context.Context, c Claimer) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return claimerScript.Run(ctx, q.rdb, []string{q.claimersKey()}, claimerFor.Milliseconds(), text).Err()
}

// Claimers lists the programs that have asked for jobs lately.
func (q *Queue) Claimers(ctx context.Context) ([]WorkerInfo, error) {
	said, err := claimerScript.Run(ctx, q.rdb, []string{q.claimersKey()},
		claimerFor.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("list claimers: %w", err)
	}
	var workers []WorkerInfo
	for pair := range slices.Chunk(said, 2) {
		var c Claimer
		if len(pair) != 2 || json.Unmarshal([]byte(pair[0]), &c) != nil || c.Tenant == "" {
			continue
		}
		w := WorkerInfo{Types: c.Types, Claims: c.Tenant, Queues: []string{job.AllQueues},
			Slots: map[job.Lane]int{}} // which it doesn't tell
		if len(c.Queues) > 0 {
			w.Queues = c.Queues
		}
		var pid string
		w.Host, pid, _ = strings.Cut(c.Worker, ":")
		pid, _, _ = strings.Cut(pid, ":")
		w.PID, _ = strconv.Atoi(pid) // 0 where it calls itself otherwise
		if ms, err := strconv.ParseFloat(pair[1], 64); err == nil {
			w.SaidAt = time.UnixMilli(int64(ms)).UTC()
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// claims reports whether the program claims jobs of a type from a place.
func (w WorkerInfo) claims(typ string, at job.Place) bool {
	tenant, _, _ := strings.Cut(at.Claimable, "/")
	return (w.Claims == access.Installation || w.Claims == tenant) && w.ServesQueue(at.Queue) &&
		access.MatchesAny(w.Types, typ)
}

// NonEmpty are those of some places, by partition and in their order, where tickets wait.
func (q *Queue) NonEmpty(ctx context.Context, places [][]job.Place) ([][]job.Place, error) {
	pipe, cmds := q.rdb.Pipeline(), make([][]*redis.IntCmd, len(places))
	for part, here := range places {
		for _, at := range here {
			cmds[part] = append(cmds[part], pipe.Exists(ctx, q.nameOf(at, part).keys+"pending"))
		}
	}
	if pipe.Len() == 0 {
		return places, nil
	}
	_, failed := pipe.Exec(ctx)
	found := make([][]job.Place, len(places))
	for part, here := range places {
		for i, at := range here {
			if cmds[part][i].Err() == nil {
				failed = nil // a part of a Cluster that is away has nothing for now
			}
			if cmds[part][i].Val() > 0 {
				found[part] = append(found[part], at)
			}
		}
	}
	if failed != nil {
		return nil, fmt.Errorf("look at queues: %w", failed)
	}
	return found, nil
}
