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

// testQueue is a queue whose tickets move with their records, as on a single Redis.
func testQueue(t *testing.T) (*bundle, redis.UniversalClient) { return queueOf(t, true) }

func queueOf(t *testing.T, fused bool) (*bundle, redis.UniversalClient) {
	t.Helper()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	q, err := New(rdb, Config{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	c := jobstore.Config{Prefix: prefix}
	if fused {
		if c.Tickets, err = q.Lua(); err != nil {
			t.Fatal(err)
		}
	}
	return &bundle{q, jobstore.New(rdb, c)}, rdb
}

// bothWays runs a test with tickets that move with their records, and apart as on a Cluster.
func bothWays(t *testing.T, test func(t *testing.T, q *bundle, rdb redis.UniversalClient)) {
	t.Parallel()
	for name, fused := range map[string]bool{"together": true, "apart": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, rdb := queueOf(t, fused)
			test(t, q, rdb)
		})
	}
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
			Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, Spec: jobstore.Spec{Payload: []byte(payloads[i%2])}}
	}
	created, errs := q.store.CreateMany(t.Context(), jobs)
	list := make([]job.Ticket, n)
	for i, c := range created {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		list[i] = c.Ticket
		if !c.Sent {
			if err := q.Enqueue(t.Context(), list[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return list
}

func ticket(p job.Priority) job.Ticket {
	return job.Ticket{ID: job.NewID(time.Now()), Delivery: 1, Type: "test.job", Lane: job.LaneIO, Priority: p}
}

// serve runs a server until the test's end, or until the returned stop is
// called. Jobs succeed when handle returns.
func serve(t *testing.T, q *bundle, slots int, handle func(context.Context, job.Ticket)) (stop func()) {
	t.Helper()
	_, stop = serveTypes(t, q, []string{"test.job"}, slots, handle)
	return stop
}

func serveTypes(t *testing.T, q *bundle, types []string, slots int, handle func(context.Context, job.Ticket)) (s *Server, stop func()) {
	t.Helper()
	s = q.NewServer(q.store, types, map[job.Lane]int{job.LaneIO: slots})
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		jobstore.Subscribe(ctx, q.rdb, []string{q.RingChannel()}, func(_, text string) { s.Ring(text) }, sync.OnceFunc(func() { close(connected) }))
	})
	wg.Go(func() {
		err := s.Run(ctx, func(ctx context.Context, c jobstore.Claim) {
			if c.Err != nil {
				t.Errorf("claim of %+v: %v", c.Ticket, c.Err)
				return
			}
			handle(ctx, c.Ticket)
			if _, err := q.store.Finish(ctx, c.Ticket.ID, c.Fence, jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
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
		if err := q.Enqueue(t.Context(), want[:10]); err != nil { // they are there: no error
			t.Fatal(err)
		}
		stop := serve(t, q, 8, func(_ context.Context, tk job.Ticket) { got <- tk })
		for range want {
			if tk := <-got; !slices.Contains(want, tk) {
				t.Fatalf("served %+v, which nobody submitted", tk)
			}
		}
		if err := q.Enqueue(t.Context(), want[:10]); err != nil { // they may be gone: stale tickets
			t.Fatal(err)
		}
		last := q.submit(t, 1, job.Default)
		if tk := <-got; tk != last[0] {
			t.Errorf("served %+v again", tk)
		}
		stop()
		if active, err := q.Active(t.Context()); err != nil || len(active) > 0 {
			t.Errorf("still active: %v, %v", active, err)
		}
		if keys := rdb.Keys(t.Context(), "asynq:{"+q.prefix+"*:t:*").Val(); len(keys) > 0 {
			t.Errorf("tickets left: %v", keys)
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
	if took := time.Since(began); took > n*200*time.Millisecond {
		t.Errorf("%d tickets one by one took %v", n, took)
	}
}

func TestHeadIsServedFirst(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	all := q.submit(t, 100, job.Default)
	// The last one's ticket gets lost, and the sweeper sends it again.
	first := all[99]
	if err := rdb.Del(t.Context(), q.nameOf(job.LaneIO, job.Default).keys+"t:"+first.Name()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := q.EnqueueHead(t.Context(), []job.Ticket{first}); err != nil {
		t.Fatal(err)
	}
	got := make(chan job.Ticket, 200)
	serve(t, q, 1, func(_ context.Context, tk job.Ticket) { got <- tk })
	if tk := <-got; tk != first {
		t.Errorf("served %v before the head", tk.ID)
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
		all := q.submit(t, 30, job.Default)
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
		states, err := q.Look(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		served, pending := 4+len(begun), 0
		for _, s := range states {
			if s == jobstore.TicketActive {
				t.Error("a ticket stayed active")
			}
			if s == jobstore.TicketPending {
				pending++
			}
		}
		if pending+served != 30 {
			t.Errorf("%d served and %d pending of 30", served, pending)
		}
	})
}

func TestPausedQueueWaits(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	paused := q.nameOf(job.LaneIO, job.High).keys + "paused"
	if err := rdb.Set(t.Context(), paused, "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	q.submit(t, 1, job.High)
	q.submit(t, 1, job.Low)
	got := make(chan job.Ticket, 2)
	serve(t, q, 2, func(_ context.Context, tk job.Ticket) { got <- tk })
	if tk := <-got; tk.Priority != job.Low {
		t.Error("a paused queue was served")
	}
	if infos, err := q.Queues(t.Context()); err != nil || !infos[0].Paused || infos[0].Pending != 1 {
		t.Errorf("queues %+v, %v", infos, err)
	}
	rdb.Del(t.Context(), paused)
	if tk := <-got; tk.Priority != job.High { // found by the next poll
		t.Error("not the ticket that waited")
	}
}

func TestBadTicketsAreRefused(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	for name, change := range map[string]func(*job.Ticket){
		"brace in the id": func(tk *job.Ticket) { tk.ID = "x{y}" + tk.ID[4:] },
		"no delivery":     func(tk *job.Ticket) { tk.Delivery = 0 },
		"strange lane":    func(tk *job.Ticket) { tk.Lane = "gpu" },
		"no priority":     func(tk *job.Ticket) { tk.Priority = "" },
	} {
		tk := ticket(job.Default)
		change(&tk)
		if err := q.Enqueue(t.Context(), []job.Ticket{tk}); !errors.Is(err, ErrBadTicket) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, prefix := range []string{"a b", "a:b", "a{b}", "-a", "\n"} {
		if _, err := New(q.rdb, Config{Prefix: prefix}); err == nil {
			t.Errorf("prefix %q was accepted", prefix)
		}
	}
}

// TestGarbageHurtsNoOther puts into the queue what no producer of ours writes.
func TestGarbageHurtsNoOther(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		keys := q.nameOf(job.LaneIO, job.Default).keys
		nobody := ticket(job.Default) // well formed, and without a record
		if err := q.Enqueue(t.Context(), []job.Ticket{nobody}); err != nil {
			t.Fatal(err)
		}
		rdb.RPush(t.Context(), keys+"pending", "ghost-without-task", "another")
		rdb.HSet(t.Context(), keys+"t:undecodable", "msg", "\xff\xff", "state", "pending")
		rdb.RPush(t.Context(), keys+"pending", "undecodable", nobody.Name()+"0000000000000000000")
		got := make(chan job.Ticket, 1)
		stop := serve(t, q, 2, func(_ context.Context, tk job.Ticket) { got <- tk })
		want := q.submit(t, 1, job.Default)
		if tk := <-got; tk != want[0] {
			t.Errorf("served %+v", tk)
		}
		stop()
		if left := rdb.Exists(t.Context(), keys+"pending", keys+"active", keys+"t:undecodable").Val(); left > 0 {
			t.Errorf("%d keys of the queue left", left)
		}
	})
}

func TestDiscard(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		begun, release := make(chan job.Ticket, 1), make(chan struct{})
		stop := serve(t, q, 1, func(_ context.Context, tk job.Ticket) {
			begun <- tk
			<-release
		})
		q.submit(t, 1, job.Default)
		tk := <-begun
		if err := q.Discard(t.Context(), []job.Ticket{tk}); err != nil {
			t.Fatal(err)
		}
		if states, err := q.Look(t.Context(), []job.Ticket{tk}); err != nil || states[0] != jobstore.TicketAbsent {
			t.Errorf("ticket is %v, %v", states, err)
		}
		close(release) // the late end finds nothing and harms nothing
		stop()
		if active, err := q.Active(t.Context()); err != nil || len(active) > 0 {
			t.Errorf("still active: %v, %v", active, err)
		}
	})
}

// TestAsynqsToolsSeeTheQueues holds that what moves together with the records
// is in asynq's own form.
func TestAsynqsToolsSeeTheQueues(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		all := q.submit(t, 3, job.Default)
		name := q.nameOf(job.LaneIO, job.Default).name
		if names, err := inspector.Queues(); err != nil || !slices.Contains(names, name) {
			t.Errorf("queues %v, %v", names, err)
		}
		if info, err := inspector.GetTaskInfo(name, all[2].Name()); err != nil || info.State != asynq.TaskStatePending || info.Queue != name {
			t.Errorf("ticket %+v, %v", info, err)
		}
		begun, release := make(chan job.Ticket), make(chan struct{})
		stop := serve(t, q, 1, func(_ context.Context, tk job.Ticket) {
			begun <- tk
			<-release
		})
		first := <-begun
		if active, err := inspector.ListActiveTasks(name); err != nil || len(active) != 1 || active[0].ID != first.Name() || active[0].State != asynq.TaskStateActive {
			t.Errorf("active %+v, %v", active, err)
		}
		if err := inspector.DeleteTask(name, all[2].Name()); err != nil {
			t.Errorf("delete a ticket: %v", err)
		}
		release <- struct{}{}
		<-begun
		release <- struct{}{}
		stop()
		info, err := inspector.GetQueueInfo(name)
		if err != nil || info.Size != 0 || info.Active != 0 || info.Processed != 2 || info.ProcessedTotal != 2 {
			t.Errorf("queue %+v, %v", info, err)
		}
	})
}
