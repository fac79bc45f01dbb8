package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// foreignIDs are TaskIDs, some of the length of a ticket's.
var foreignIDs = []string{"a", "exactly-16-bytes", "exactly-18-bytes--", "}{", "with blanks in it", "01234567890123456789"}

// push has an asynq.Client enqueue into one of our lists.
func push(t *testing.T, rdb redis.UniversalClient, queue string, ids []string) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	for _, id := range ids {
		if _, err := client.Enqueue(asynq.NewTask("email:welcome", []byte("{}")), asynq.Queue(queue),
			asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// apart checks that tasks are set apart, whole, and that no walk after lost tickets was begun.
func apart(t *testing.T, q *bundle, n queueName, want []string) {
	t.Helper()
	got := q.rdb.LRange(t.Context(), n.keys+"foreign", 0, -1).Val()
	slices.Reverse(got) // the oldest stands last
	if !slices.Equal(got, want) {
		t.Errorf("%s: set apart %q, want %q", n.name, got, want)
	}
	for _, id := range want {
		if q.rdb.HGet(t.Context(), n.keys+"t:"+id, "msg").Val() == "" {
			t.Errorf("%s: task %q is gone", n.name, id)
		}
	}
	if q.rdb.Exists(t.Context(), fmt.Sprintf("%s:{%d}:walk", q.prefix, n.part)).Val() != 0 {
		t.Error("a walk was begun")
	}
}

// TestForeign has somebody's asynq.Client enqueue into our queues, among tickets: its tasks are set apart.
func TestForeign(t *testing.T) { bothWays(t, testForeign) }

// TestForeignOnACluster does so on three masters.
func TestForeignOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	rdb := redis.NewClusterClient(
		&redis.ClusterOptions{Addrs: strings.Split(strings.TrimPrefix(cluster.URL, "redis+cluster://"), ",")})
	t.Cleanup(func() { _ = rdb.Close() })
	prefix := redistest.Prefix(t)
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix})
	q, err := New(rdb, Config{Prefix: prefix, Partitions: store.Parts()})
	if err != nil {
		t.Fatal(err)
	}
	testForeign(t, &bundle{q, store}, rdb)
}

func testForeign(t *testing.T, q *bundle, rdb redis.UniversalClient) {
	var told int64
	q.store.OnForeign(func(_ context.Context, n int64) { told += n })
	n := q.nameIn(job.LaneIO, job.Default)
	for _, some := range [][]string{foreignIDs[:3], foreignIDs[3:]} {
		q.submit(t, 20, job.Default)
		push(t, rdb, n.name, some)
	}
	sweeper := jobstore.Sweeper{Store: q.store, Log: q.log}
	if _, err := sweeper.Sweep(t.Context()); err != nil { // sees more than it knows of
		t.Fatal(err)
	}
	served, tk := 0, q.taker("test.job")
	for more := 0; more < 40*16; more++ {
		ids, _ := claimed(t, q, tk, 7)
		served += len(ids)
		if served == 40 && told == int64(len(foreignIDs)) {
			break
		}
	}
	if served != 40 || told != int64(len(foreignIDs)) {
		t.Errorf("%d of 40 jobs were started, %d tasks told of", served, told)
	}
	if _, err := sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	apart(t, q, n, foreignIDs)
	infos, err := q.Queues(t.Context())
	if err != nil || infos[1].Foreign != int64(len(foreignIDs)) || infos[1].Pending != 0 {
		t.Errorf("%+v, %v", infos[1], err)
	}
	if health, err := q.store.Health(t.Context()); err != nil || health.Foreign != int64(len(foreignIDs)) {
		t.Errorf("%+v, %v", health, err)
	}
}

// TestForeignInVoidLists has tasks in a named queue that nobody serves: there void tickets are thrown away,
// and these are not. The queue stays known while they are there.
func TestForeignInVoidLists(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	ticket := q.submitTo(t, "mailers")
	name := jobstore.QueueName(q.prefix, job.PlaceOf(ticket.Lane, ticket.Priority, "mailers", "", "").Name(), 0, 1)
	push(t, rdb, name, foreignIDs)
	rdb.LPush(t.Context(), jobstore.QueueKeys(name)+"pending", "a ghost")
	if _, err := q.Queues(t.Context()); err != nil { // hears of the list
		t.Fatal(err)
	}
	if err := q.DropVoid(t.Context(), q.store); err != nil {
		t.Fatal(err)
	}
	apart(t, q, queueName{keys: jobstore.QueueKeys(name), name: name}, foreignIDs)
	if n := rdb.LLen(t.Context(), jobstore.QueueKeys(name)+"pending").Val(); n != 1 {
		t.Errorf("%d entries are left, want the ticket", n)
	}
}
