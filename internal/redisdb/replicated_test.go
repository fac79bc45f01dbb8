package redisdb_test

import (
	"net/url"
	"testing"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

// TestReplicated stops the only replica: a marked command says that none has it, one
// that isn't marked doesn't ask, and what the server refuses is told as it is.
func TestReplicated(t *testing.T) {
	t.Parallel()
	primary := redistest.NewWith(t, localredis.Options{TCP: true})
	at, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	replica := redistest.NewWith(t,
		localredis.Options{Args: []string{"--replicaof", at.Hostname() + " " + at.Port(),
			"--repl-diskless-sync-delay", "0"}})
	client, err := redisdb.Open(redisdb.Config{URL: primary.URL(), Replicated: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	marked := redisdb.Replicated(t.Context())
	for err = client.Set(marked, "k", "v", 0).Err(); redisdb.Reason(err) == redisdb.ReasonNoReplicas; {
		err = client.Set(marked, "k", "v", 0).Err() // until the replica has begun; each waits for a second
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := redistest.ClientOf(t, replica.URL()).Get(t.Context(), "k").Result(); err != nil ||
		got != "v" {
		t.Errorf("the replica has %q, %v", got, err)
	}
	if err := client.HSet(marked, "k", "f", "v").Err(); err == nil || redisdb.Unavailable(err) {
		t.Errorf("a command that is refused ends with %v", err)
	}
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(marked, "k", "w", 0).Err(); redisdb.Reason(err) != redisdb.ReasonNoReplicas {
		t.Errorf("without a replica a marked command ends with %v", err)
	}
	if err := client.Set(t.Context(), "k", "x", 0).Err(); err != nil {
		t.Error(err)
	}
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
}
