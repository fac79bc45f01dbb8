package jobstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A queue that isn't the default one is made by use. Key P:queues has the names that there are, which bounds
// them. Which lists of tickets they have, by lane and priority, each partition knows itself, in P:{k}:queues:
// the script that puts the first ticket into a list notes it there, and one that forgets it looks in the
// same step whether it is empty. So whatever a process remembers, no ticket lies in a list that nobody knows.

// MaxQueues is how many there may be beside the default one.
const MaxQueues = 200

// ErrManyQueues says that there are as many queues as may be, and that the one that was named is not among
// them.
var ErrManyQueues = errors.New("there are as many queues as may be, " + strconv.Itoa(MaxQueues))

// enrolled are names that are known to be there.
type enrolled struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// enrolledFor is how long a process takes a name to be there that it has just used.
const enrolledFor = time.Minute

func (e *enrolled) has(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().Before(e.until[name])
}

func (e *enrolled) add(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until == nil || len(e.until) > 2*MaxQueues {
		e.until = map[string]time.Time{}
	}
	e.until[name] = time.Now().Add(enrolledFor)
}

func (s *Store) queuesKey() string { return s.prefix + ":queues" }

// Enroll makes sure that there is a queue, before a job comes into it; "" is the default one, which there
// always is. It asks Redis once a minute for each name. Errors: ErrManyQueues, or Redis's.
func (s *Store) Enroll(ctx context.Context, name string) error {
	if name == "" || s.enrolled.has(name) {
		return nil
	}
	n, err := s.scripts.enroll.Run(ctx, s.rdb, []string{s.queuesKey()}, name, MaxQueues).Int()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrManyQueues
	}
	s.enrolled.add(name)
	return nil
}

// Places are those with lists of tickets in a partition: the default queue's, and those that others have got.
func (s *Store) Places(ctx context.Context, part int) ([]job.Place, error) {
	said, err := s.rdb.ZRange(ctx, s.ListsKey(part), 0, -1).Result()
	if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, err
	}
	return append(job.PlacesOf(""), ReadPlaces(said)...), nil
}

// ListsKey names what a partition knows of lists of queues that aren't the default one.
func (s *Store) ListsKey(part int) string { return ListsKey(s.prefix, part) }

// ListsKey is that of an installation.
func ListsKey(prefix string, part int) string { return prefix + ":{" + strconv.Itoa(part) + "}:queues" }

// CountsKey names a partition's counters, among them how many tickets its lists have.
func CountsKey(prefix string, part int) string { return prefix + ":{" + strconv.Itoa(part) + "}:n" }

// ReadPlaces reads members of such a key. A stranger's are none.
func ReadPlaces(said []string) []job.Place {
	places := make([]job.Place, 0, len(said))
	for _, name := range said {
		if at := job.ParsePlace(name); strings.Contains(name, ":") && at.Known() && at.Name() == name {
			places = append(places, at)
		}
	}
	return places
}

// PlaceIn reads a queue's name as asynq knows it, of a queue that isn't the default one; ok is false of
// others.
func PlaceIn(prefix, name string, parts int) (at job.Place, part int, ok bool) {
	if parts > 1 {
		k, rest, found := strings.Cut(name, "}")
		n, err := strconv.Atoi(k)
		if !found || err != nil || n < 0 || n >= parts {
			return at, 0, false
		}
		part, name = n, rest
	}
	text, found := strings.CutPrefix(name, prefix+"-")
	if !found {
		return at, 0, false
	}
	places := ReadPlaces([]string{text})
	if len(places) == 0 {
		return at, 0, false
	}
	return places[0], part, true
}

// QueuesIdle is how long a queue stays that is empty and that no worker names.
const QueuesIdle = 7 * 24 * time.Hour

// claimIdle is how long an empty list of what is claimed stays: there is one a priority, queue, tenant and
// type.
const claimIdle = time.Hour

// forgetScript takes names away that were not used since they were read, with their times, and notes others:
// those that have lists but no name, which were forgotten while a job came, and those that are served.
var forgetScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 2, ARGV[1] * 2, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
for i = ARGV[1] * 2 + 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
return 1`)

// ForgetQueues drops queues that have been empty and unused for a while, QueuesIdle but in tests. served are
// those that workers name, which stay. It is to be called now and then, by one process: what comes in
// meanwhile stays too.
func (s *Store) ForgetQueues(ctx context.Context, served []string, idle time.Duration) error {
	names, err := s.rdb.ZRangeWithScores(ctx, s.queuesKey(), 0, -1).Result()
	if err != nil {
		return err
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	known, old := map[string]bool{}, map[string]bool{}
	for _, z := range names {
		name, _ := z.Member.(string)
		known[name] = true
		old[name] = z.Score <= float64(now.Add(-idle).UnixMilli()) && !slices.Contains(served, name)
	}
	lists, err := s.unlist(ctx, old, idle)
	if err != nil || len(names)+len(lists) == 0 {
		return err
	}
	gone, used := []any{}, []any{}
	for _, z := range names {
		name, _ := z.Member.(string)
		switch {
		case old[name] && !lists[name]:
			gone = append(gone, name, strconv.FormatFloat(z.Score, 'f', -1, 64))
		case slices.Contains(served, name) && z.Score < float64(now.Add(-idle/8).UnixMilli()):
			used = append(used, name)
		}
	}
	for name := range lists {
		if !known[name] {
			used = append(used, name)
		}
	}
	if len(gone)+len(used) == 0 {
		return nil
	}
	args := append(append([]any{len(gone) / 2}, gone...), used...)
	return forgetScript.Run(ctx, s.rdb, []string{s.queuesKey()}, args...).Err()
}

// unlist has partitions forget the lists of some queues, and tells which queues have any left.
func (s *Store) unlist(ctx context.Context, old map[string]bool, idle time.Duration) (
	map[string]bool, error) {
	left := map[string]bool{}
	for part, base := range s.bases {
		places, err := s.Places(ctx, part)
		if err != nil {
			return nil, err
		}
		args, claims := []any{ms(idle)}, []any{ms(min(idle, claimIdle))}
		for _, at := range places {
			switch {
			case at.Claimable != "":
				claims = append(claims, at.Name())
			case at.Queue == "":
			case old[at.Queue]:
				args = append(args, at.Name())
			default:
				left[at.Queue] = true
			}
		}
		var stay []string
		for _, args := range [][]any{args, claims} {
			if len(args) == 1 {
				continue
			}
			names, err := s.scripts.unlist.Run(ctx, s.rdb, []string{base}, args...).StringSlice()
			if err != nil {
				return nil, err
			}
			stay = append(stay, names...)
		}
		for _, name := range stay {
			if queue := job.ParsePlace(name).Queue; queue != "" {
				left[queue] = true
			}
		}
	}
	return left, nil
}
