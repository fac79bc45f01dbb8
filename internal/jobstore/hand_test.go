package jobstore

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// What hands from outside do to the lists of tickets: asynq's tools, and tests.

// keysOf are the keys of a queue, in a partition.
func (s *Store) keysOf(queue string, part int) string {
	return QueueKeys(QueueName(s.prefix, queue, part, len(s.bases)))
}

// lists are the names of all lists of tickets that there may be in a partition, whether it knows of them or
// not.
func (s *Store) lists(part int) (names []string) {
	for _, at := range job.PlacesOf("") {
		names = append(names, at.Name())
	}
	ctx, pattern := context.Background(), strings.NewReplacer("{", `\{`, "}", `\}`)
	for _, key := range s.keys(ctx, pattern.Replace(s.keysOf("*:*", part))+"pending") {
		_, name, _ := strings.Cut(key, s.prefix+"-")
		names = append(names, strings.TrimSuffix(name, "}:pending"))
	}
	return names
}

// A handQueue pops tickets as take does, void ones aside, and starts nothing.
type handQueue struct{ store *Store }

func (q handQueue) pop() (job.Ticket, bool) {
	ctx, s := context.Background(), q.store
	for part := range s.bases {
		for _, queue := range s.lists(part) {
			keys := s.keysOf(queue, part)
			for {
				entry, err := s.rdb.RPop(ctx, keys+"pending").Result()
				if err != nil {
					break
				}
				s.rdb.HIncrBy(ctx, s.bases[part]+"n", "list:"+queue, -1)
				s.rdb.Del(ctx, keys+"t:"+entry)
				id, delivery, ok := ParseEntry(entry)
				t := job.Ticket{ID: id, Delivery: delivery}
				at := job.ParsePlace(queue)
				t.Lane, t.Priority, t.Queue = at.Lane, at.Priority, at.Queue
				if void, err := s.Void(ctx, []job.Ticket{t}); ok && err == nil && !void[0] {
					return t, true
				}
			}
		}
	}
	return job.Ticket{}, false
}

// deleteAll is asynq's "delete all pending" (internal/rdb, deleteAllCmd): the list, and the tasks in it.
func (s *Store) deleteAll(ctx context.Context, keys string) int {
	entries := s.rdb.LRange(ctx, keys+"pending", 0, -1).Val()
	for _, entry := range entries {
		s.rdb.Del(ctx, keys+"t:"+entry)
	}
	s.rdb.Del(ctx, keys+"pending")
	return len(entries)
}

// archiveAll is asynq's "archive all pending": tasks stay, and say so.
func (s *Store) archiveAll(ctx context.Context, keys string) int {
	entries := s.rdb.LRange(ctx, keys+"pending", 0, -1).Val()
	for _, entry := range entries {
		s.rdb.HSet(ctx, keys+"t:"+entry, "state", "archived")
	}
	s.rdb.Del(ctx, keys+"pending")
	return len(entries)
}

// keys lists the keys that match a pattern: those of each master.
func (s *Store) keys(ctx context.Context, pattern string) []string {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return s.rdb.Keys(ctx, pattern).Val()
	}
	var mu sync.Mutex
	var all []string
	_ = cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		keys := master.Keys(ctx, pattern).Val()
		mu.Lock()
		defer mu.Unlock()
		all = append(all, keys...)
		return nil
	})
	return all
}

// books are the counters of a partition that moves keep, and what they should be by its records.
func (s *Store) books(ctx context.Context, part int) (kept, found map[string]int64) {
	base := s.bases[part]
	kept, found = map[string]int64{}, map[string]int64{}
	for field, n := range s.rdb.HGetAll(ctx, base+"n").Val() {
		if field[0] != 'R' || len(field) != 10 {
			if n := integer(n); n != 0 {
				kept[field] = n
			}
		}
	}
	keys := s.keys(ctx, strings.NewReplacer("{", `\{`, "}", `\}`).Replace(base)+"j:*")
	for _, key := range keys {
		core := s.rdb.Get(ctx, key).Val()
		r, err := parseRecord(core)
		if err != nil {
			continue
		}
		h, err := s.headOf(ctx, part, &r)
		if err != nil {
			continue
		}
		found[h.family+core[1:2]]++
		if r.state == job.Running {
			found["runs:"+h.queue]++
		}
	}
	for _, name := range s.lists(part) {
		if n := s.rdb.LLen(ctx, s.keysOf(name, part)+"pending").Val(); n > 0 {
			found["list:"+name] = n
		}
	}
	return kept, found
}

func z(member string, score float64) redis.Z { return redis.Z{Member: member, Score: score} }
