package jobstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
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

// BenchmarkScripts tells what a move costs Redis, by the size of the batch. It
// reports the least of all rounds: the machine's noise only adds.
func BenchmarkScripts(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			rdb := redistest.ClientOf(b, redistest.New(b).URL())
			s := New(rdb, Config{})
			least := map[string]float64{}
			move := func(name string, script *redis.Script, calls []*redisdb.Call) {
				before := scriptTime(b.Context(), rdb)
				if err := redisdb.RunAll(b.Context(), rdb, script, size, calls); err != nil {
					b.Fatal(err)
				}
				if word := text(calls[0].Reply[0]); word != "ok" && word != "created" {
					b.Fatalf("%s: %s", name, word)
				}
				us := (scriptTime(b.Context(), rdb) - before) / float64(len(calls))
				if old, ok := least[name]; !ok || us < old {
					least[name] = us
				}
			}
			for b.Loop() {
				jobs := make([]NewJob, 512)
				creates, starts, finishes := make([]*redisdb.Call, len(jobs)), make([]*redisdb.Call, len(jobs)), make([]*redisdb.Call, len(jobs))
				for i := range jobs {
					jobs[i] = simple()
					jobs[i].Digest = strings.Repeat("0", 32)
					args, err := s.createArgs(jobs[i])
					if err != nil {
						b.Fatal(err)
					}
					key, fence := s.key(jobs[i].ID), NewFence()
					creates[i] = &redisdb.Call{Key: key, Args: args}
					starts[i] = &redisdb.Call{Key: key, Args: []any{1, fence, ms(s.lease), "0", ""}}
					finishes[i] = &redisdb.Call{Key: key, Args: []any{fence, "succeeded", "0", "1 0 0", "", "", "", ""}}
				}
				move("create", s.scripts.create, creates)
				move("start", s.scripts.start, starts)
				move("finish", s.scripts.finish, finishes)
			}
			for name, us := range least {
				b.ReportMetric(us, name+"_µs/job")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
