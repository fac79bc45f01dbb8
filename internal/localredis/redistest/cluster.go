package redistest

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis"
)

// A Cluster is three masters, without replicas.
type Cluster struct {
	URL     string // as settings name it
	Masters []*localredis.Server
}

// slots is the number of slots of a Cluster:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
const slots = 16384

// NewCluster starts three masters that share the slots, and returns once they serve.
// They end with the test.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	var nodes []string
	var firstBus string
	var clients []redis.UniversalClient
	const masters = 3
	for i := range masters {
		bus := freePort(t)
		if i == 0 {
			firstBus = bus
		}
		server := NewWith(t, localredis.Options{TCP: true, DataDir: t.TempDir(), Args: []string{
			"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000"}})
		host, port := address(t, server)
		client := ClientOf(t, server.URL())
		must := func(args ...any) {
			t.Helper()
			if err := client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatalf("%v: %v", args, err)
			}
		}
		must("CLUSTER", "ADDSLOTSRANGE", slots*i/masters, slots*(i+1)/masters-1)
		if i > 0 {
			first, firstPort, _ := net.SplitHostPort(nodes[0])
			must("CLUSTER", "MEET", first, firstPort, firstBus)
		}
		c.Masters = append(c.Masters, server)
		nodes = append(nodes, net.JoinHostPort(host, port))
		clients = append(clients, client)
	}
	for _, client := range clients {
		await(t, func(ctx context.Context) bool {
			info, err := client.Do(ctx, "CLUSTER", "INFO").Text()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_size:3")
		})
	}
	c.URL = "redis+cluster://" + strings.Join(nodes, ",")
	return c
}

// freePort returns a port that nobody listens on at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
