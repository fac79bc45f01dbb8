package redisdb_test

import (
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

// TestSentinel kills the primary under a client: what was written is there, and
// after some refusals the client writes to the one that took over.
func TestSentinel(t *testing.T) {
	t.Parallel()
	servers := redistest.NewSentinels(t)
	client := redistest.ClientOf(t, servers.URL)
	if warnings, err := redisdb.Check(t.Context(), client); err != nil || len(warnings) > 0 {
		t.Fatalf("Check = %q, %v", warnings, err)
	}
	if err := client.Set(t.Context(), "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), "WAIT", 2, time.Minute.Milliseconds()).Err(); err != nil {
		t.Fatal(err)
	}
	servers.Failover(t)
	if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "before" {
		t.Errorf("after the failover k is %q, %v", got, err)
	}
	for {
		err := client.Set(t.Context(), "k", "after", 0).Err()
		if err == nil {
			break
		}
		if !redisdb.Unavailable(err) {
			t.Fatalf("a write in the failover ends with %v, which no caller repeats", err)
		}
	}
}
