package jobstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
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

// BenchmarkScripts tells what a move costs Redis, by the size of the batch, and what a pending and a
// kept job take of its memory. It reports the least of all rounds: the machine's noise only adds.
func BenchmarkScripts(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	for _, size := range []int{1, 8, 64, 200} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			rdb := redistest.ClientOf(b, redistest.New(b).URL())
			s := jobstore.New(rdb, jobstore.Config{})
			least := map[string]float64{}
			for b.Loop() {
				benchRound(b, rdb, s, size, least)
			}
			for name, n := range least {
				unit := "_µs/job"
				if name == "pending" || name == "kept" {
					unit = "_B/job"
				}
				b.ReportMetric(n, name+unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func used(ctx context.Context, rdb redis.UniversalClient) float64 {
	for line := range strings.Lines(rdb.Info(ctx, "memory").Val()) {
		var n float64
		if _, err := fmt.Sscanf(line, "used_memory_dataset:%f", &n); err == nil {
			return n
		}
	}
	return 0
}

// benchRound moves some thousand jobs from their creation to their end.
func benchRound(b *testing.B, rdb redis.UniversalClient, s *jobstore.Store, size int,
	least map[string]float64) {
	const jobs = 6000
	all, fences := make([]jobstore.NewJob, jobs), make([]string, jobs)
	for i := range all {
		all[i] = jobstore.Simple()
		all[i].Spec.Payload = []byte(`{"n":1}`)
	}
	note := func(name string, n float64) {
		if old, ok := least[name]; !ok || n < old {
			least[name] = n
		}
	}
	timed := func(name string, do func() error) {
		before := scriptTime(b.Context(), rdb)
		if err := do(); err != nil {
			b.Fatal(name, err)
		}
		note(name, (scriptTime(b.Context(), rdb)-before)/jobs)
	}
	move := func(name string) {
		timed(name, func() error { return s.Move(b.Context(), name, size, all, fences) })
	}
	empty := used(b.Context(), rdb)
	move("create")
	note("pending", (used(b.Context(), rdb)-empty)/jobs)
	timed("claim", func() error { return claimAll(b, s, size, all, fences) })
	move("beat")
	move("finish")
	note("kept", (used(b.Context(), rdb)-empty)/jobs)
	for i := range all {
		key := strconv.Itoa(i)
		all[i].ID, all[i].IdempotencyKey = jobstore.DrawID(time.Now(), access.Owner{}, key), key
	}
	move("keyed")
	rdb.FlushDB(b.Context())
}

// claimAll takes the tickets of all jobs, and fills in what was taken.
func claimAll(b *testing.B, s *jobstore.Store, size int, all []jobstore.NewJob, fences []string) error {
	claimer := s.NewClaimer([]string{all[0].Type})
	for n := 0; n < len(all); {
		claims, _, err := claimer.Claim(b.Context(),
			job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, size)
		if err != nil || len(claims) == 0 {
			return fmt.Errorf("claim after %d: %w", n, err)
		}
		for _, c := range claims {
			if c.Err != nil {
				return c.Err
			}
			all[n].ID, fences[n] = c.Ticket.ID, c.Fence
			n++
		}
	}
	return nil
}
