package asynqmove

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// A world is asynq's queues and an installation in one Redis.
type world struct {
	t      *testing.T
	rdb    redis.UniversalClient
	store  *jobstore.Store
	client *asynq.Client
	told   []Stuck
	queue  string
}

func newWorld(t *testing.T, rdb redis.UniversalClient) *world {
	prefix := redistest.Prefix(t)
	w := &world{t: t, rdb: rdb, store: jobstore.New(rdb, jobstore.Config{Prefix: prefix}),
		client: asynq.NewClientFromRedisClient(rdb), queue: strings.ReplaceAll(strings.ToLower(prefix), "_", "-")}
	w.queue = w.queue[max(0, len(w.queue)-20):]
	w.queue = "q" + strings.TrimLeft(w.queue, "-")
	return w
}

func (w *world) mover() *Mover {
	w.t.Helper()
	catalog, err := tasks.NewCatalog(tasks.Info{Type: "mail.welcome", Lane: job.LaneIO, Input: tasks.NoInput, MaxAttempts: 3,
		TimeoutMS: 60_000, Schema: []byte(`{"type":"object"}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := New(w.t.Context(), Config{From: w.rdb, Redis: w.rdb, Store: w.store, Queues: []string{w.queue},
		Submitter: submit.NewSubmitter(submit.Config{Store: w.store, Catalog: catalog,
			Log: slog.New(slog.DiscardHandler)}),
		Tell: func(s Stuck) { w.told = append(w.told, s) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) add(n int, options ...asynq.Option) {
	w.t.Helper()
	task := asynq.NewTask("mail.welcome", []byte(fmt.Sprintf(`{"n":%d}`, n)))
	if _, err := w.client.Enqueue(task, append(options, asynq.Queue(w.queue))...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(m *Mover, want int) {
	w.t.Helper()
	if n, err := m.Pass(w.t.Context()); err != nil || n != want {
		w.t.Fatalf("moved %d, %v, want %d; told %+v", n, err, want, w.told)
	}
}

// jobs are how many there are, by state.
func (w *world) jobs(want map[job.State]int64) {
	w.t.Helper()
	counts, err := w.store.Counts(w.t.Context())
	for state, n := range want {
		if err != nil || counts[state] != n {
			w.t.Errorf("jobs %v, %v, want %v", counts, err, want)
		}
	}
}

func (w *world) keys() string { return jobstore.QueueKeys(w.queue) }

// everywhere runs a test on a single Redis and on a Cluster.
func everywhere(t *testing.T, test func(*world)) {
	t.Parallel()
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, redistest.Client(t)))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.NewCluster(t)
		rdb := redis.NewClusterClient(
			&redis.ClusterOptions{Addrs: strings.Split(strings.TrimPrefix(cluster.URL, "redis+cluster://"), ",")})
		t.Cleanup(func() { _ = rdb.Close() })
		test(newWorld(t, rdb))
	})
}

// TestMove moves tasks of all kinds, and one that was pushed into a queue of ours. Nothing is left of them.
func TestMove(t *testing.T) { everywhere(t, testMove) }

func testMove(w *world) {
	w.add(1)
	w.add(2, asynq.Unique(time.Hour))
	w.add(3, asynq.TaskID("}{ 16 bytes long"), asynq.Deadline(time.Now().Add(time.Hour)))
	w.add(4, asynq.ProcessIn(time.Hour))
	w.add(5, asynq.MaxRetry(100))
	lists, err := w.store.Lists(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	keys := jobstore.QueueKeys(lists[0].Name)
	if _, err := w.client.Enqueue(asynq.NewTask("mail.welcome", []byte(`{"n":6}`)), asynq.Queue(lists[0].Name),
		asynq.TaskID("pushed")); err != nil {
		w.t.Fatal(err)
	}
	w.rdb.RPopLPush(w.t.Context(), keys+"pending", jobstore.ForeignKey(keys)) // as take does
	m := w.mover()
	w.pass(m, 5)
	w.pass(m, 0)
	w.jobs(map[job.State]int64{job.Queued: 4, job.Scheduled: 1})
	if len(w.told) != 1 || m.Stuck != 1 || !strings.Contains(w.told[0].Why, "MaxRetry is 100") {
		w.t.Errorf("told %+v", w.told)
	}
	if n := w.rdb.LLen(w.t.Context(), w.keys()+"pending").Val(); n != 1 {
		w.t.Errorf("%d tasks stay with asynq, want 1", n)
	}
	for _, key := range []string{w.keys() + "longshore", w.keys() + "scheduled", keys + "t:pushed", jobstore.ForeignKey(keys)} {
		if w.rdb.Exists(w.t.Context(), key).Val() != 0 {
			w.t.Errorf("%s is left", key)
		}
	}
	w.add(2, asynq.Unique(time.Hour)) // its lock is free: the next one's job meets the first, and stays
	w.pass(m, 0)
	if len(w.told) != 2 || !strings.Contains(w.told[1].Why, "has this key") {
		w.t.Errorf("told %+v", w.told)
	}
	if n := w.rdb.LLen(w.t.Context(), w.keys()+"pending").Val(); n != 2 {
		w.t.Errorf("%d tasks stay with asynq, want 2", n)
	}
}

// TestKilled stops a mover behind each step: the next one goes on, and makes one job.
func TestKilled(t *testing.T) { everywhere(t, testKilled) }

func testKilled(w *world) {
	ctx := w.t.Context()
	for i := range 3 {
		w.add(i, asynq.TaskID(fmt.Sprint("task ", i)))
	}
	dead := w.mover()
	l := dead.lines[0]
	page, err := l.page(ctx, "pending", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	fit, err := dead.fit(ctx, l, page)
	if err != nil || len(fit) != 3 {
		w.t.Fatal(len(fit), err)
	}
	taken, err := dead.takeThese(ctx, l, "pending", fit)
	if err != nil || len(taken) != 3 {
		w.t.Fatal(len(taken), err)
	}
	r, err := l.request(taken[0])
	if err != nil {
		w.t.Fatal(err)
	}
	r.ID, r.IDOfKey, r.IDUntil = taken[0].job, true, time.Now().Add(time.Hour)
	if a := dead.submit(ctx, []submit.Draft{{Request: r}}); a[0].Refused() != nil || a[0].ID != taken[0].job {
		w.t.Fatalf("%+v", a)
	}
	w.rdb.HSet(ctx, w.keys()+"t:task 2", "longshore_at", time.Now().Add(-2*time.Hour).UnixMilli())
	next := w.mover()
	w.pass(next, 2)
	w.jobs(map[job.State]int64{job.Queued: 2})
	if len(w.told) != 1 || !strings.Contains(w.told[0].Why, "over an hour ago") {
		w.t.Errorf("told %+v", w.told)
	}
	if n, err := dead.create(ctx, l, taken[:2]); err != nil || n != 2 { // it was only slow
		w.t.Errorf("%d, %v", n, err)
	}
	w.jobs(map[job.State]int64{job.Queued: 2})
	// what the dead one would give back is the other's now
	if err := backScript.Run(ctx, w.rdb, []string{listKey(l.keys)}, dead.by, "task 2").Err(); err != nil ||
		w.rdb.LLen(ctx, w.keys()+"pending").Val() != 0 {
		w.t.Errorf("given back to asynq: %v", err)
	}
}

// TestTwoMovers has two of them move the same tasks at the same time.
func TestTwoMovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Client(t))
	const all = 1500
	for i := range all {
		w.add(i)
	}
	movers := []*Mover{w.mover(), w.mover()}
	var both sync.WaitGroup
	for _, m := range movers {
		both.Go(func() {
			if err := m.Run(t.Context(), false, nil); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	w.jobs(map[job.State]int64{job.Queued: all})
	if n := movers[0].Moved[w.queue] + movers[1].Moved[w.queue]; n != all || len(w.told) > 0 {
		t.Errorf("moved %d, told %v", n, w.told)
	}
}
