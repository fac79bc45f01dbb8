package redisdb_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestOpenURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url      string
		address  string // "" = refused
		insecure bool
		tls      bool
	}{
		{url: "redis://localhost:6380", address: "localhost:6380"},
		{url: "redis://:hunter2@db.example.com/3", address: "db.example.com:6379/3"},
		{url: "redis://[::1]:1?db=2", address: "[::1]:1/2"},
		{url: "rediss://app:hunter2@h:6379", address: "h:6379", tls: true},
		{url: "rediss://h:6379", address: "h:6379", tls: true, insecure: true},
		{url: "unix:///run/redis.sock?db=1", address: "/run/redis.sock/1"},
		{url: "redis+sentinel://app:hunter2@a:1,b,[::1]:3/jobs",
			address: "jobs of the sentinels a:1,b:26379,[::1]:3"},
		{url: "redis+sentinel://a/jobs/2?sentinel_user=u&sentinel_password=hunter2",
			address: "jobs of the sentinels a:26379/2"},
		{url: "rediss+sentinel://a/jobs", address: "jobs of the sentinels a:26379", tls: true},
		{url: "redis+cluster://app:hunter2@a:1,b", address: "the Cluster of a:1,b:6379"},
		{url: "rediss+cluster://a,b", address: "the Cluster of a:6379,b:6379", tls: true, insecure: true},
		{url: ""},
		{url: "hunter2"},
		{url: "redis+sentinel://a:1"},
		{url: "redis+sentinel:///jobs"},
		{url: "redis+sentinel://a,/jobs"},
		{url: "redis+sentinel://a:hunter2/jobs"},
		{url: "redis+sentinel://a/jobs/hunter2"},
		{url: "redis+sentinel://a/jobs/-1"},
		{url: "redis+sentinel://a/jobs?hunter2=1"},
		{url: "redis+sentinel://:hunt%zz@a/jobs"},
		{url: "redis+cluster://a/1"},
		{url: "redis+cluster://a?db=1"},
		{url: "redis+cluster://a#hunter2"},
		{url: "redis+hunter2://a"},
		{url: "http://hunter2@h"},
		{url: "redis://:hunt%zz@h"},
		{url: "redis://user:hunter2/x@h:6379"},
		{url: "redis://:hunter2@h:port"},
		{url: "redis://h/hunter2"},
		{url: "redis://h/1/hunter2"},
		{url: "redis://h/-1"},
		{url: "redis://h?db=hunter2"},
		{url: "redis://h?hunter2=1"},
		{url: "redis://h?pool_size=100"},
		{url: "unix://"},
	}
	for _, tt := range tests {
		c, err := redisdb.Open(redisdb.Config{URL: tt.url, TLSInsecure: tt.insecure})
		if got := redisdb.Address(tt.url); got != tt.address {
			t.Errorf("Address(%q) = %q, want %q", tt.url, got, tt.address)
		}
		if (err == nil) != (tt.address != "") {
			t.Errorf("Open(%q) = %v", tt.url, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "user") &&
				!strings.Contains(err.Error(), "[user:password@]") {
				t.Errorf("Open(%q): the error quotes it: %v", tt.url, err)
			}
			continue
		}
		config, name := (*tls.Config)(nil), ""
		switch c := c.(type) {
		case *redis.ClusterClient:
			config = c.Options().TLSConfig
		case *redis.Client:
			config = c.Options().TLSConfig
		}
		if strings.HasPrefix(tt.url, "rediss://") {
			name = "h"
		}
		if (config != nil) != tt.tls || tt.tls && (config.InsecureSkipVerify != tt.insecure ||
			config.ServerName != name) {
			t.Errorf("Open(%q): TLS %+v", tt.url, config)
		}
		c.Close()
	}
}

func TestTooFewConnections(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 1} {
		if _, err := redisdb.Open(redisdb.Config{URL: "redis://h", MaxConnections: n}); err == nil {
			t.Errorf("Open with %d connections succeeded", n)
		}
	}
}

// TestConnectionBudget holds a client under load by commands, pipelines,
// transactions, blocking commands and a subscription, and lets Redis count.
func TestConnectionBudget(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs redis-server: the stand-in has no CLIENT LIST")
	}
	server := redistest.New(t)
	watcher := redistest.ClientOf(t, server.URL())
	before := len(clients(t, watcher))
	for _, budget := range []int{2, 4, 6} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			c, err := redisdb.Open(redisdb.Config{URL: server.URL(), MaxConnections: budget})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sub := c.Subscribe(t.Context(), "news")
			defer sub.Close()
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			most := 0
			load(t, c, func() {
				most = max(most, len(clients(t, watcher))-before)
			})
			if most != budget {
				t.Errorf("redis saw %d connections, want %d", most, budget)
			}
		})
	}
}

// load runs 32 busy goroutines, and look again and again meanwhile.
func load(t *testing.T, c redis.UniversalClient, look func()) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			key := fmt.Sprint("k", i)
			for range 50 {
				if err := use(t.Context(), c, key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			look()
		}
	}
}

func use(ctx context.Context, c redis.UniversalClient, key string) error {
	if err := c.Set(ctx, key, "v", 0).Err(); err != nil {
		return err
	}
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Get(ctx, key)
		p.Publish(ctx, "news", key)
		return nil
	}); err != nil {
		return err
	}
	return c.Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Incr(ctx, "n").Err() })
		return err
	}, key)
}

var clientLine = regexp.MustCompile(`(?m)^id=`)

func clients(t *testing.T, c redis.UniversalClient) []string {
	t.Helper()
	list, err := c.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return clientLine.FindAllString(list, -1)
}

// BenchmarkRoundTrip is the cost of one command on a quiet connection.
func BenchmarkRoundTrip(b *testing.B) {
	c := redistest.Client(b)
	for b.Loop() {
		if err := c.Ping(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
