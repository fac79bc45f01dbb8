//go:build linux

package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestConnectionBudget counts each program's connections to Redis under load,
// those for pub/sub too. Each program is a user of its own, so that CLIENT LIST
// tells whose a connection is.
func TestConnectionBudget(t *testing.T) {
	t.Parallel()
	in := install(t)
	admin := redistest.ClientOf(t, in.redis.URL())
	budget := map[string]int{"web": 4, "worker": 6}
	for user := range budget {
		if err := admin.ACLSetUser(t.Context(), user, "on", ">secret", "~*", "&*", "+@all").
			Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) string {
		return "REDIS_URL=unix://" + user + ":secret@" + strings.TrimPrefix(in.redis.URL(), "unix://")
	}
	_, url := in.web(t, as("web"), "REDIS_MAX_CONNECTIONS=4")
	in.worker(t, as("worker"), "REDIS_MAX_CONNECTIONS=6", "STREAM_CONCURRENCY=32")
	c := clientOf(t, url)

	counting, stop := context.WithCancel(t.Context())
	most, samples := map[string]int{}, 0
	var counter sync.WaitGroup
	counter.Go(func() {
		for counting.Err() == nil {
			for user, n := range connections(t, admin) {
				most[user] = max(most[user], n)
			}
			samples++
		}
	})
	var waiting sync.WaitGroup
	ids := submitMany(t, c, 600, func(i int) (client.Submission, string) {
		if i%2 == 0 {
			return client.Submission{Type: "file.checksum"}, strings.Repeat("longshore ", 1+i)
		}
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 5_000_000}}, ""
	})
	for _, id := range ids {
		waiting.Go(func() {
			r, err := tryRequest(t, "GET", url+httpapi.JobPath(id)+"?wait=25s", nil)
			if err != nil || r.snapshot(t).State != job.Succeeded {
				t.Errorf("%s: %v %s", id, err, r.body)
			}
		})
	}
	waiting.Wait()
	stop()
	counter.Wait()
	t.Logf("most connections in %d samples: %v", samples, most)
	for user, limit := range budget {
		if most[user] > limit {
			t.Errorf("%s had %d connections, its budget is %d", user, most[user], limit)
		}
		if most[user] < 2 {
			t.Errorf("invalid run: only %d connections of %s were seen", most[user], user)
		}
	}
}

// connections counts those of each user.
func connections(t *testing.T, admin redis.UniversalClient) map[string]int {
	t.Helper()
	text, err := admin.ClientList(t.Context()).Result()
	if err != nil {
		t.Error(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(line, " user=")
		user, _, _ := strings.Cut(rest, " ")
		count[user]++
	}
	return count
}
