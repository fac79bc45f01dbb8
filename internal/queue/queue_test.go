package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// A bundle is a queue with the records of its jobs.
type bundle struct {
	*Queue
	store *jobstore.Store
}

// testQueue is a queue of one partition, as on a single Redis.
func testQueue(t *testing.T) (*bundle, redis.UniversalClient) { return queueOf(t, 1) }

func queueOf(t *testing.T, parts int) (*bundle, redis.UniversalClient) {
	t.Helper()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	q, err := New(rdb, Config{Prefix: prefix, Partitions: parts})
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{q, jobstore.New(rdb, jobstore.Config{Prefix: prefix, Partitions: parts})}, rdb
}

// bothWays runs a test with records in one partition, and in 16 as on a Cluster.
func bothWays(t *testing.T, test func(t *testing.T, q *bundle, rdb redis.UniversalClient)) {
	t.Parallel()
	for name, parts := range map[string]int{"one partition": 1, "sixteen": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, rdb := queueOf(t, parts)
			test(t, q, rdb)
		})
	}
}

// nameOf is a queue's list, of the first partition.
func (q *Queue) nameIn(l job.Lane, p job.Priority) queueName {
	for _, n := range q.names {
		if n.at == (job.Place{Lane: l, Priority: p}) {
			return n
		}
	}
	return queueName{}
}

// entries are those of all lists of a queue whose keys end so.
func (q *bundle) entries(t *testing.T, p job.Priority, list string) (all []string) {
	t.Helper()
	for _, n := range q.names {
		if n.at == (job.Place{Lane: job.LaneIO, Priority: p}) {
			all = append(all, q.rdb.LRange(t.Context(), n.keys+list, 0, -1).Val()...)
		}
	}
	return all
}

// payloads are of jobs made by submit, in turn: one that its record holds, and
// one with a key of its own.
var payloads = [...]string{`{"n":1}`, `{"text":"` + strings.Repeat("long ", 20) + `"}`}

// submit makes n jobs whose tickets are in the queue.
func (q *bundle) submit(t *testing.T, n int, p job.Priority) []job.Ticket {
	t.Helper()
	return q.submitType(t, n, p, "test.job")
}

func (q *bundle) submitType(t *testing.T, n int, p job.Priority, typ string) []job.Ticket {
	t.Helper()
	jobs := make([]jobstore.NewJob, n)
	for i := range jobs {
		jobs[i] = jobstore.NewJob{ID: job.NewID(time.Now()), Type: typ, Lane: job.LaneIO, Priority: p,
			Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour,
			Spec: jobstore.Spec{Payload: []byte(payloads[i%2])}}
	}
	created, errs := q.store.CreateMany(t.Context(), jobs)
	list := make([]job.Ticket, n)
	for i, c := range created {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		list[i] = c.Ticket
	}
	return list
}

// serve runs a server until the test's end, or until the returned stop is
// called. Jobs succeed when handle returns.
func serve(t *testing.T, q *bundle, slots int, handle func(context.Context, job.Ticket)) (stop func()) {
	t.Helper()
	_, stop = serveTypes(t, q, []string{"test.job"}, slots, handle)
	return stop
}

func serveTypes(t *testing.T, q *bundle, types []string, slots int,
	handle func(context.Context, job.Ticket)) (s *Server, stop func()) {
	t.Helper()
	s = q.NewServer(q.store, types, map[job.Lane]int{job.LaneIO: slots})
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		jobstore.Subscribe(ctx, q.rdb, []string{q.NotifyChannel()}, func(_, text string) { s.Notify(text) },
			sync.OnceFunc(func() { close(connected) }))
	})
	wg.Go(func() {
		err := s.Run(ctx, func(ctx context.Context, c jobstore.Claim) {
			if c.Err != nil {
				t.Errorf("claim of %+v: %v", c.Ticket, c.Err)
				return
			}
			handle(ctx, c.Ticket)
			if _, err := q.store.Finish(ctx, c.Ticket.ID, c.Fence,
				jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-connected
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return s, stop
}

func TestServesWhatWasSubmitted(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		got := make(chan job.Ticket, 100)
		want := q.submit(t, 50, job.Default)
		stop := serve(t, q, 8, func(_ context.Context, tk job.Ticket) { got <- tk })
		for range want {
			if tk := <-got; !slices.Contains(want, tk) {
				t.Fatalf("served %+v, which nobody submitted", tk)
			}
		}
		last := q.submit(t, 1, job.Default)
		if tk := <-got; tk != last[0] {
			t.Errorf("served %+v again", tk)
		}
		stop()
		if keys := rdb.Keys(t.Context(), "asynq:{*"+q.prefix+"*:t:*").Val(); len(keys) > 0 {
			t.Errorf("tickets left: %q", keys)
		}
		if running, err := q.store.RunningIn(t.Context()); err != nil ||
			running[job.Place{Lane: job.LaneIO, Priority: job.Default}] != 0 {
			t.Errorf("still running: %v, %v", running, err)
		}
	})
}

// TestIdleLoopWakesAtOnce would fail with asynq's polling: a second a ticket.
func TestIdleLoopWakesAtOnce(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	got := make(chan job.Ticket)
	serve(t, q, 4, func(_ context.Context, tk job.Ticket) { got <- tk })
	began := time.Now()
	const n = 20
	for range n {
		q.submit(t, 1, job.Low)
		<-got
	}
	if took := time.Since(began); took > n*600*time.Millisecond {
		t.Errorf("%d tickets one by one took %v", n, took)
	}
}

func TestHeadIsServedFirst(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	first := q.submit(t, 1, job.Default)[0]
	claims, _, err := q.store.NewClaimer([]string{"test.job"}).Claim(t.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	q.submit(t, 100, job.Default)
	// It is given back, and was served before the others.
	if _, err := q.store.Finish(t.Context(), first.ID, claims[0].Fence,
		jobstore.End{Outcome: jobstore.Release}); err != nil {
		t.Fatal(err)
	}
	got := make(chan job.Ticket, 200)
	serve(t, q, 1, func(_ context.Context, tk job.Ticket) { got <- tk })
	if tk := <-got; tk.ID != first.ID || tk.Delivery != 2 {
		t.Errorf("served %v before the head", tk)
	}
}

func TestPrioritiesShareByWeight(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	for _, p := range job.Priorities {
		q.submit(t, 400, p)
	}
	got := make(chan job.Ticket, 1200)
	serve(t, q, 1, func(_ context.Context, tk job.Ticket) { got <- tk })
	count := map[job.Priority]int{}
	for range 400 {
		count[(<-got).Priority]++
	}
	// 6:3:1 of 400 is 240:120:40; the bounds are five standard deviations away.
	if count[job.High] < 190 || count[job.Default] < 75 || count[job.Low] < 10 {
		t.Errorf("of the first 400 tickets: %v", count)
	}
}

// TestStopLeavesNothingActive holds that a server that stops waits for what
// was started and leaves the rest where it is.
func TestStopLeavesNothingActive(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		q.submit(t, 30, job.Default)
		begun, release := make(chan job.Ticket, 30), make(chan struct{})
		stop := serve(t, q, 4, func(_ context.Context, tk job.Ticket) {
			begun <- tk
			<-release
		})
		for range 4 {
			<-begun
		}
		done := make(chan struct{})
		go func() {
			stop()
			close(done)
		}()
		close(release)
		<-done
		served, pending := 4+len(begun), len(q.entries(t, job.Default, "pending"))
		if pending+served != 30 {
			t.Errorf("%d served and %d pending of 30", served, pending)
		}
	})
}

func TestPausedQueueWaits(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		for range 2 { // twice is no error
			if err := q.Pause(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.High}); err != nil {
				t.Fatal(err)
			}
		}
		q.submit(t, 1, job.High)
		q.submit(t, 1, job.Low)
		got := make(chan job.Ticket, 2)
		serve(t, q, 2, func(_ context.Context, tk job.Ticket) { got <- tk })
		if tk := <-got; tk.Priority != job.Low {
			t.Error("a paused queue was served")
		}
		if infos, err := q.Queues(t.Context()); err != nil || len(infos) != 6 || !infos[0].Paused ||
			infos[0].Pending != 1 {
			t.Errorf("queues %+v, %v", infos, err)
		}
		if infos, err := q.Paused(t.Context()); err != nil || !infos[0].Paused || infos[1].Paused {
			t.Errorf("paused %+v, %v", infos, err)
		}
		for range 2 {
			if err := q.Resume(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.High}); err != nil {
				t.Fatal(err)
			}
		}
		if tk := <-got; tk.Priority != job.High { // found by the next poll
			t.Error("not the ticket that waited")
		}
	})
}

func TestBadPrefixes(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	for _, prefix := range []string{"a b", "a:b", "a{b}", "-a", "\n"} {
		if _, err := New(q.rdb, Config{Prefix: prefix}); err == nil {
			t.Errorf("prefix %q was accepted", prefix)
		}
	}
}

// TestGarbageHurtsNoOther puts into the queue what no producer of ours writes.
func TestGarbageHurtsNoOther(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		keys := q.nameIn(job.LaneIO, job.Default).keys
		nobody := job.NewID(time.Now()) // well formed, and without a record
		rdb.HSet(t.Context(), keys+"t:"+nobody.Raw(), "msg", jobstore.TicketMessage(nobody))
		rdb.RPush(t.Context(), keys+"pending", nobody.Raw(), "ghost-without-task", "another", "")
		rdb.HSet(t.Context(), keys+"t:undecodable", "msg", "\xff\xff", "state", "pending")
		// this of format 2
		rdb.RPush(t.Context(), keys+"pending", "undecodable", "01a2094cc1b77426941ba7e8cbc7cb2f.1")
		got := make(chan job.Ticket, 1)
		stop := serve(t, q, 2, func(_ context.Context, tk job.Ticket) { got <- tk })
		want := q.submit(t, 1, job.Default)
		if tk := <-got; tk != want[0] {
			t.Errorf("served %+v", tk)
		}
		for rdb.Exists(t.Context(), keys+"pending", keys+"t:"+nobody.Raw()).Val() > 0 {
			if t.Context().Err() != nil {
				t.Fatal("garbage stays")
			}
		}
		// what has a task is somebody's, who may want it
		if apart := rdb.LRange(t.Context(), keys+"foreign", 0, -1).Val(); !slices.Equal(apart, []string{"undecodable"}) ||
			rdb.Exists(t.Context(), keys+"t:undecodable").Val() != 1 {
			t.Errorf("set apart: %q", apart)
		}
		stop()
	})
}

// TestAsynqsToolsSeeTheQueues holds that tickets are in asynq's own form, as far as its tools go.
func TestAsynqsToolsSeeTheQueues(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		if err := q.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		all := q.submit(t, 3, job.Default)
		var seen []string
		size := 0
		for _, n := range q.names {
			if n.at != (job.Place{Lane: job.LaneIO, Priority: job.Default}) {
				continue
			}
			if names, err := inspector.Queues(); err != nil || !slices.Contains(names, n.name) {
				t.Errorf("queues %v, %v", names, err)
			}
			if rdb.Exists(t.Context(), n.keys+"pending").Val() == 0 {
				continue
			}
			info, err := inspector.GetQueueInfo(n.name)
			if err != nil {
				t.Errorf("queue %+v, %v", info, err)
			}
			size += info.Pending
			tasks, err := inspector.ListPendingTasks(n.name)
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				if task.Type != "j" {
					t.Errorf("task %+v", task)
				}
				seen = append(seen, task.ID)
			}
			if err := inspector.DeleteTask(n.name, seen[0]); err == nil {
				t.Error("a ticket was deleted alone")
			}
		}
		for _, tk := range all {
			if !slices.Contains(seen, strings.ReplaceAll(string(tk.ID), "-", "")) || len(seen) != 3 ||
				size != 3 {
				t.Errorf("%s is not among %v (%d)", tk.ID, seen, size)
			}
		}
		if left := rdb.Keys(t.Context(), "asynq:{*"+q.prefix+"-probe*").Val(); len(left) > 0 {
			t.Errorf("the probe left %q", left)
		}
	})
}

// TestProbeNotices has an asynq that writes other messages, and one that keeps other lists.
func TestProbeNotices(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	keys, id := jobstore.QueueKeys(q.prefix+"-x"), "01a2094cc1b77426941ba7e8cbc7cb2f"
	for name, write := range map[string]func(){
		"another list":  func() { rdb.LPush(t.Context(), keys+"waiting", id) },
		"another entry": func() { rdb.LPush(t.Context(), keys+"pending", "j:"+id) },
		"another message": func() {
			rdb.LPush(t.Context(), keys+"pending", id)
			rdb.HSet(t.Context(), keys+"t:"+id, "msg", "{}")
		},
	} {
		rdb.Del(t.Context(), keys+"pending", keys+"t:"+id)
		rdb.HSet(t.Context(), keys+"t:"+id, "msg",
			jobstore.TicketMessage("01a2094c-c1b7-7426-941b-a7e8cbc7cb2f")+"more")
		write()
		if err := q.compare(t.Context(), keys, id,
			jobstore.TicketMessage("01a2094c-c1b7-7426-941b-a7e8cbc7cb2f")); !errors.Is(err, ErrOtherAsynq) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
