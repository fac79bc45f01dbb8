package redistest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis"
)

// Sentinels is a primary with two replicas and the three sentinels that watch over
// them.
type Sentinels struct {
	URL     string               // of all of it, as settings name it
	Servers []*localredis.Server // those with the data; at first the first one is primary

	client *redis.SentinelClient
}

// masterName is what the sentinels call the primary.
const masterName = "jobs"

// NewSentinels starts six servers and returns once they know of each other. A
// primary that is killed is replaced after about a second. They end with the test.
func NewSentinels(t testing.TB) *Sentinels {
	t.Helper()
	primary := NewWith(t, localredis.Options{TCP: true, DataDir: t.TempDir()})
	s := &Sentinels{Servers: []*localredis.Server{primary}}
	host, port := address(t, primary)
	for range 2 {
		s.Servers = append(s.Servers, NewWith(t, localredis.Options{TCP: true, DataDir: t.TempDir(),
			Args: []string{"--replicaof", host + " " + port, "--repl-diskless-sync-delay", "0"}}))
	}
	config := fmt.Sprintf(
		"sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 500\n"+
			"sentinel failover-timeout %[1]s 2000\n", masterName, host, port)
	var nodes []string
	for range 3 {
		sentinel := NewWith(t, localredis.Options{TCP: true, Config: config, Args: []string{"--sentinel"}})
		host, port := address(t, sentinel)
		nodes = append(nodes, host+":"+port)
	}
	s.URL = "redis+sentinel://" + strings.Join(nodes, ",") + "/" + masterName
	s.client = redis.NewSentinelClient(&redis.Options{Addr: nodes[0]})
	t.Cleanup(func() { _ = s.client.Close() })
	s.awaitMaster(t, func(m map[string]string) bool {
		return m["num-slaves"] == "2" && m["num-other-sentinels"] == "2" && m["flags"] == "master"
	})
	for _, replica := range s.Servers[1:] {
		await(t, func(ctx context.Context) bool {
			info, err := ClientOf(t, replica.URL()).Info(ctx, "replication").Result()
			return err == nil && strings.Contains(info, "master_link_status:up")
		})
	}
	return s
}

// Primary returns the server that the sentinels name.
func (s *Sentinels) Primary(t testing.TB) *localredis.Server {
	t.Helper()
	found, err := s.client.GetMasterAddrByName(t.Context(), masterName).Result()
	if err != nil || len(found) != 2 {
		t.Fatalf("ask for the primary: %v, %v", found, err)
	}
	for _, server := range s.Servers {
		if _, port := address(t, server); port == found[1] {
			return server
		}
	}
	t.Fatalf("sentinels name %v, which is none of ours", found)
	return nil
}

// Failover kills the primary, and returns once another server has its place.
func (s *Sentinels) Failover(t testing.TB) {
	t.Helper()
	old := s.Primary(t)
	_, port := address(t, old)
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	s.awaitMaster(t, func(m map[string]string) bool { return m["port"] != port && m["flags"] == "master" })
}

func (s *Sentinels) awaitMaster(t testing.TB, is func(map[string]string) bool) {
	t.Helper()
	await(t, func(ctx context.Context) bool {
		m, err := s.client.Master(ctx, masterName).Result()
		return err == nil && is(m)
	})
}

// await asks every 20 ms until the answer is yes, at most for a minute.
func await(t testing.TB, yes func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes(ctx) {
		select {
		case <-ctx.Done():
			t.Fatal("the servers don't come to an agreement")
		case <-tick.C:
		}
	}
}

// address returns host and port of a server that listens on TCP.
func address(t testing.TB, s *localredis.Server) (host, port string) {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname(), u.Port()
}
