package redistest

import (
	"context"
	"net"
	"strings"
	"testing"

	"longshore/internal/localredis"
)

// A Cluster is three masters, each with a replica where that was asked for.
type Cluster struct {
	URL      string // as settings name it
	Masters  []*localredis.Server
	Replicas []*localredis.Server // of the master of the same number
}

// slots is the number of slots of a Cluster:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
const slots = 16384

const masters = 3

// NewCluster starts three masters that share the slots, and returns once they serve.
// They end with the test.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	return newCluster(t, false)
}

// NewReplicatedCluster is NewCluster with a replica a master, which takes its place some seconds after it
// died.
func NewReplicatedCluster(t testing.TB) *Cluster {
	t.Helper()
	return newCluster(t, true)
}

func newCluster(t testing.TB, replicated bool) *Cluster {
	t.Helper()
	c := &Cluster{}
	var nodes []string
	for i := range masters {
		server, bus := newNode(t)
		c.Masters = append(c.Masters, server)
		host, port := address(t, server)
		nodes = append(nodes, net.JoinHostPort(host, port))
		do(t, server, "CLUSTER", "ADDSLOTSRANGE", slots*i/masters, slots*(i+1)/masters-1)
		if i > 0 {
			do(t, c.Masters[0], "CLUSTER", "MEET", host, port, bus)
		}
	}
	for _, server := range c.Masters {
		awaitInfo(t, server, "CLUSTER INFO", "cluster_state:ok", "cluster_size:3", "cluster_known_nodes:3")
	}
	c.URL = "redis+cluster://" + strings.Join(nodes, ",")
	if !replicated {
		return c
	}
	for _, master := range c.Masters {
		server, bus := newNode(t)
		c.Replicas = append(c.Replicas, server)
		host, port := address(t, server)
		do(t, c.Masters[0], "CLUSTER", "MEET", host, port, bus)
		id := do(t, master, "CLUSTER", "MYID")
		await(t, func(ctx context.Context) bool { // once it knows of its master
			return ClientOf(t, server.URL()).Do(ctx, "CLUSTER", "REPLICATE", id).Err() == nil
		})
		awaitInfo(t, server, "INFO replication", "master_link_status:up")
	}
	for _, server := range c.Masters { // who doesn't know the replicas yet would not have them take over
		awaitInfo(t, server, "CLUSTER INFO", "cluster_state:ok", "cluster_known_nodes:6")
		awaitInfo(t, server, "INFO replication", "connected_slaves:1")
	}
	return c
}

// Failover kills the master that has a key, and returns it once its replica has its place.
func (c *Cluster) Failover(t testing.TB, key string) *localredis.Server {
	t.Helper()
	slot, err := ClientOf(t, c.Masters[0].URL()).ClusterKeySlot(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	i := int(slot) * masters / slots // of a Cluster whose slots nobody has moved
	if err := c.Masters[i].Kill(); err != nil {
		t.Fatal(err)
	}
	awaitInfo(t, c.Replicas[i], "INFO replication", "role:master")
	awaitInfo(t, c.Masters[(i+1)%masters], "CLUSTER INFO", "cluster_state:ok")
	awaitInfo(t, c.Masters[(i+2)%masters], "CLUSTER INFO", "cluster_state:ok")
	return c.Masters[i]
}

// Move moves each slot of a master that has keys to the next master, ten keys at a time, and returns how
// many keys that were. Before each ten it calls between, unless that is nil. The way is that of `redis-cli
// --cluster reshard`: https://redis.io/docs/latest/commands/cluster-setslot/
func (c *Cluster) Move(t testing.TB, from int, between func()) (moved int) {
	t.Helper()
	source, target := c.Masters[from], c.Masters[(from+1)%masters]
	client := ClientOf(t, source.URL())
	found := map[int64]bool{}
	for _, key := range client.Keys(t.Context(), "*").Val() {
		found[client.ClusterKeySlot(t.Context(), key).Val()] = true
	}
	sourceID, targetID := do(t, source, "CLUSTER", "MYID"), do(t, target, "CLUSTER", "MYID")
	host, port := address(t, target)
	for slot := range found {
		do(t, target, "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID)
		do(t, source, "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID)
		for {
			some, err := client.ClusterGetKeysInSlot(t.Context(), int(slot), 10).Result()
			if err != nil {
				t.Fatal(err)
			}
			if between != nil {
				between()
			}
			if len(some) == 0 {
				break
			}
			args := []any{"MIGRATE", host, port, "", 0, 10_000, "KEYS"}
			for _, key := range some {
				args = append(args, key)
			}
			if err := client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatalf("%q are not moved: %v", some, err)
			}
			moved += len(some)
		}
		for _, server := range []*localredis.Server{target, source, c.Masters[(from+2)%masters]} {
			do(t, server, "CLUSTER", "SETSLOT", slot, "NODE", targetID)
		}
	}
	return moved
}

// newNode starts a server of a Cluster that it has no part in yet. The other port is the one for its peers.
func newNode(t testing.TB) (server *localredis.Server, bus string) {
	t.Helper()
	bus = freePort(t)
	return NewWith(t, localredis.Options{TCP: true, DataDir: t.TempDir(), Args: []string{
		"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000",
		"--repl-diskless-sync-delay", "0"}}), bus
}

// do gives a server a command, and returns its answer where that is a text.
func do(t testing.TB, server *localredis.Server, args ...any) string {
	t.Helper()
	reply, err := ClientOf(t, server.URL()).Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	text, _ := reply.(string)
	return text
}

// awaitInfo waits until a server's answer to a command has all these words.
func awaitInfo(t testing.TB, server *localredis.Server, command string, words ...string) {
	t.Helper()
	client := ClientOf(t, server.URL())
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	await(t, func(ctx context.Context) bool {
		info, err := client.Do(ctx, args...).Text()
		for _, word := range words {
			if !strings.Contains(info, word) {
				return false
			}
		}
		return err == nil
	})
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
