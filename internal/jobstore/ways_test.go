package jobstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// Both ways of a move must write the same. Two installations get the same jobs and moves at the
// same times, one of them without short ways; then every key is compared.

// longOnly makes the short ways leave everything to the long ones.
func longOnly(s *Store) {
	s.load(words{prefix: s.prefix, parts: len(s.bases),
		now: turnedTime,
		edit: func(src string) string {
			for _, one := range []struct{ begins, leaves string }{
				{"if not @MAY(>queued)@ then return 0 end", "if true then return 0 end"},
				{"if not @MAY(queued>running)@ then return 0 end", "if true then return 0 end"},
				{"local seen, heads, ends, sets", "records = {}\nlocal seen, heads, ends, sets"},
				{"local seen, leases, sets, events, n, e",
					"records = {}\nlocal seen, leases, sets, events, n, e"},
			} {
				src = strings.Replace(src, one.begins, one.leaves, 1)
			}
			return src
		}})
}

// dump is all that an installation has in Redis, its own prefix aside.
func dump(t *testing.T, rdb redis.UniversalClient, s *Store) map[string]string {
	t.Helper()
	ctx, all := t.Context(), map[string]string{}
	keys := rdb.Keys(ctx, "*"+s.prefix+"*").Val()
	kinds, values := make([]*redis.StatusCmd, len(keys)), make([]func() string, len(keys))
	_, _ = rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // one that went has no kind
		for i, key := range keys {
			kinds[i] = p.Type(ctx, key)
		}
		return nil
	})
	_, _ = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			values[i] = valueOf(ctx, p, key, kinds[i].Val())
		}
		return nil
	})
	for i, key := range keys {
		name := strings.ReplaceAll(key, s.prefix, "P")
		if !strings.Contains(name, ":memo:") { // which is named by the claimer
			all[name] = values[i]()
		}
	}
	return all
}

// valueOf asks for the value of a key of this kind; what it returns reads it once it is there.
func valueOf(ctx context.Context, p redis.Pipeliner, key, kind string) func() string {
	switch kind {
	case "string":
		return p.Get(ctx, key).Val
	case "hash":
		hash := p.HGetAll(ctx, key)
		return func() string { return fmt.Sprint(hash.Val()) }
	case "list":
		list := p.LRange(ctx, key, 0, -1)
		return func() string { return fmt.Sprintf("%q", list.Val()) }
	case "set":
		set := p.SMembers(ctx, key)
		return func() string { return fmt.Sprintf("%q", slices.Sorted(slices.Values(set.Val()))) }
	case "zset":
		scores := p.ZRangeWithScores(ctx, key, 0, -1)
		return func() string { return fmt.Sprintf("%q", fmt.Sprint(scores.Val())) }
	case "stream":
		entries := p.XRange(ctx, key, "-", "+")
		return func() string { return fmt.Sprintf("%q", fmt.Sprint(entries.Val())) }
	}
	return func() string { return "" }
}

// A way is one of the two installations.
type way struct {
	*Store
	claimer *Claimer
	errs    []string
}

func (w *way) note(what string, err error) {
	if err != nil {
		w.errs = append(w.errs, what+": "+strings.ReplaceAll(err.Error(), w.prefix, "P"))
	}
}

type holding struct {
	id    job.ID
	fence string
}

// claim takes n jobs under these fences. The short way stops before an unusual one, which the next call
// takes.
func (w *way) claim(t *testing.T, n int, fences string) (held []holding) {
	t.Helper()
	for left := n; left > 0; {
		w.claimer.serial++
		w.claimer.open = &claimCall{job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, left,
			fences[12*(n-left) : 12*n],
			servedTypes(w.claimer.Types)}
		claims, _, err := w.claimer.Claim(t.Context(),
			job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, left)
		w.note("claim", err)
		if err != nil || len(claims) == 0 {
			break
		}
		left -= len(claims)
		for _, c := range claims {
			w.note("claimed", c.Err)
			held = append(held, holding{c.Ticket.ID, c.Fence})
		}
	}
	return held
}

// anyJob draws a job that the short way of creation may take, or must leave.
func anyJob(rng *rand.Rand, at time.Time) NewJob {
	n := simple()
	n.ID = job.NewID(at)
	n.Type = []string{"test.a", "test.b"}[rng.IntN(2)]
	n.Retention = []time.Duration{time.Minute, time.Hour}[rng.IntN(2)]
	n.Spec.Payload = payloadOf([]int{9, 40, shortPayload, shortPayload + 1}[rng.IntN(4)])
	switch rng.IntN(8) {
	case 0:
		n.IdempotencyKey = fmt.Sprint("key", rng.IntN(5))
		n.ID = DrawID(at, n.Owner, n.IdempotencyKey)
	case 1:
		n.Claim = time.Hour
	case 2:
		n.ExpiresIn = time.Hour
	case 3:
		n.CallbackURL = hook
	case 4:
		n.RunAt = at.Add(time.Second)
	}
	return n
}

// TestShortAndLongWaysWriteTheSame drives both installations through the same generated moves.
func TestShortAndLongWaysWriteTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(seeds(t, 6)) {
		rng := rand.New(rand.NewPCG(seed, 11))
		rdb := redistest.Client(t)
		var ways [2]*way
		for i := range ways {
			s := New(rdb, Config{Prefix: redistest.Prefix(t), Turned: true})
			ways[i] = &way{Store: s, claimer: s.NewClaimer([]string{"test.a", "test.b"})}
		}
		longOnly(ways[1].Store)
		now := int64(1_700_000_000_000)
		var held []holding
		for step := range 60 {
			now += rng.Int64N(400)
			for _, w := range ways {
				if err := w.turn(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			switch rng.IntN(5) {
			case 0, 1:
				jobs := make([]NewJob, 1+rng.IntN(6))
				for i := range jobs {
					jobs[i] = anyJob(rng, time.UnixMilli(now))
				}
				// What may go the short way goes before the others, in one call: so it is in both.
				usual := slices.DeleteFunc(slices.Clone(jobs), func(n NewJob) bool { return !n.plain() })
				others := slices.DeleteFunc(jobs, func(n NewJob) bool { return n.plain() })
				for _, w := range ways {
					_, errs1 := w.CreateMany(t.Context(), usual)
					_, errs2 := w.CreateMany(t.Context(), others)
					w.note("create", errors.Join(append(errs1, errs2...)...))
				}
			case 2, 3:
				n, fences := 1+rng.IntN(5), newFences(5)
				ways[0].claim(t, n, fences)
				held = append(held, ways[1].claim(t, n, fences)...)
			default:
				for _, i := range rng.Perm(len(held))[:len(held)/2] {
					h := held[i]
					end := End{Outcome: []Outcome{Succeeded, Succeeded, Succeeded, Retry, Failed,
						Release}[rng.IntN(6)], Code: job.Timeout,
						Usage: job.Usage{WallMS: rng.Int64N(99)}}
					if end.Outcome == Succeeded {
						end.Result = payloadOf([]int{9, 240, 300}[rng.IntN(3)])
					}
					if rng.IntN(3) == 0 {
						end.Progress = &job.Progress{BytesDone: 1}
					}
					beat := rng.IntN(2) == 0
					for _, w := range ways {
						if beat {
							replies, err := w.Beats(t.Context(),
								[]Beat{{ID: h.id, Fence: h.fence, Renew: true, Progress: end.Progress}})
							w.note("beat", err)
							w.note("beaten", replies[0].Err)
						}
						_, err := w.Finish(t.Context(), h.id, h.fence, end)
						w.note("finish", err)
					}
				}
			}
			long, short := dump(t, rdb, ways[1].Store), dump(t, rdb, ways[0].Store)
			if !maps.Equal(long, short) {
				t.Fatalf("seed %d, step %d: the long way writes (-), the short one (+):\n%s", seed, step,
					cmp.Diff(long, short))
			}
			if long, short := ways[1].errs, ways[0].errs; !slices.Equal(long, short) {
				t.Fatalf("seed %d, step %d: the long way answers (-), the short one (+):\n%s", seed, step,
					cmp.Diff(long, short))
			}
		}
	}
}
