package jobstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/queue"
	"longshore/job"
)

// scriptTime is the time that Redis has spent in scripts, in µs.
func scriptTime(ctx context.Context, rdb redis.UniversalClient) (us float64) {
	for line := range strings.Lines(rdb.Info(ctx, "commandstats").Val()) {
		var calls, total int64
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:"); ok {
			if _, err := fmt.Sscanf(rest, "calls=%d,usec=%d", &calls, &total); err == nil {
				us = float64(total)
			}
		}
	}
	return us
}

// BenchmarkScripts tells what a move costs Redis, by the size of the batch:
// with the queue's tickets, as on a single Redis, and records alone, as on a
// Cluster. It reports the least of all rounds: the machine's noise only adds.
func BenchmarkScripts(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	for _, tickets := range []bool{true, false} {
		for _, size := range []int{1, 8, 64, 200} {
			b.Run(fmt.Sprintf("tickets=%t/batch=%d", tickets, size), func(b *testing.B) {
				rdb := redistest.ClientOf(b, redistest.New(b).URL())
				s := benchStore(b, rdb, tickets)
				least := map[string]float64{}
				for b.Loop() {
					benchRound(b, rdb, s, size, least)
				}
				for name, us := range least {
					b.ReportMetric(us, name+"_µs/job")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func benchStore(b *testing.B, rdb redis.UniversalClient, tickets bool) *jobstore.Store {
	c := jobstore.Config{}
	if tickets {
		q, err := queue.New(rdb, queue.Config{})
		if err != nil {
			b.Fatal(err)
		}
		if c.Tickets, err = q.Lua(); err != nil {
			b.Fatal(err)
		}
	}
	return jobstore.New(rdb, c)
}

// benchRound moves some thousand jobs from their creation to their end.
func benchRound(b *testing.B, rdb redis.UniversalClient, s *jobstore.Store, size int, least map[string]float64) {
	const jobs = 3000
	all, fences := make([]jobstore.NewJob, jobs), make([]string, jobs)
	for i := range all {
		all[i], fences[i] = jobstore.Simple(), jobstore.NewFence()
		all[i].Spec.Payload = []byte(`{"n":1}`)
	}
	timed := func(name string, do func()) {
		before := scriptTime(b.Context(), rdb)
		do()
		us := (scriptTime(b.Context(), rdb) - before) / jobs
		if old, ok := least[name]; !ok || us < old {
			least[name] = us
		}
	}
	move := func(name string) {
		calls := make([]*batch.Call, jobs)
		for i, n := range all {
			var err error
			if calls[i], err = s.MoveCall(name, n, fences[i]); err != nil {
				b.Fatal(err)
			}
		}
		timed(name, func() {
			if err := batch.RunAll(b.Context(), rdb, s.MoveScript(name), size, calls); err != nil {
				b.Fatal(err)
			}
		})
		for _, c := range calls {
			if c.Reply[0] != "ok" && c.Reply[0] != "created" {
				b.Fatalf("%s: %v", name, c.Reply[0])
			}
		}
	}
	move("create")
	if !s.Fused() {
		move("start")
	} else {
		timed("claim", func() { claimAll(b, s, size, all, fences) })
	}
	move("beat")
	move("finish")
	for i := range all {
		key := strconv.Itoa(i)
		all[i].ID, all[i].IdempotencyKey = jobstore.DrawID(time.Now(), key), key
	}
	move("keyed")
	rdb.FlushDB(b.Context())
}

// claimAll takes the tickets of all jobs, and fills in what was taken.
func claimAll(b *testing.B, s *jobstore.Store, size int, all []jobstore.NewJob, fences []string) {
	claimer := s.NewClaimer([]string{all[0].Type})
	for n := 0; n < len(all); {
		claims, _, err := claimer.Claim(b.Context(), job.LaneIO, job.Default, size, true)
		if err != nil || len(claims) == 0 {
			b.Fatalf("claim after %d: %v", n, err)
		}
		for _, c := range claims {
			if c.Err != nil {
				b.Fatal(c.Err)
			}
			all[n].ID, fences[n] = c.Ticket.ID, c.Fence
			n++
		}
	}
}
