package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func testQueue(t *testing.T) (*Queue, redis.UniversalClient) {
	t.Helper()
	rdb := redistest.Client(t)
	q, err := New(rdb, Config{Prefix: redistest.Prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	return q, rdb
}

func ticket(p job.Priority) job.Ticket {
	return job.Ticket{ID: job.NewID(time.Now()), Delivery: 1, Type: "test.job", Lane: job.LaneIO, Priority: p}
}

func tickets(n int, p job.Priority) []job.Ticket {
	list := make([]job.Ticket, n)
	for i := range list {
		list[i] = ticket(p)
	}
	return list
}

// serve runs a server until the test's end, or until the returned stop is called.
func serve(t *testing.T, q *Queue, slots int, handle func(context.Context, job.Ticket)) (stop func()) {
	t.Helper()
	s := q.NewServer(map[job.Lane]int{job.LaneIO: slots})
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		jobstore.Subscribe(ctx, q.rdb, []string{q.RingChannel()}, func(_, text string) { s.Ring(text) }, sync.OnceFunc(func() { close(connected) }))
	})
	wg.Go(func() {
		if err := s.Run(ctx, handle); err != nil {
			t.Error(err)
		}
	})
	<-connected
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func TestServesWhatWasEnqueued(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	want := tickets(50, job.Default)
	got := make(chan job.Ticket, 100)
	stop := serve(t, q, 8, func(_ context.Context, tk job.Ticket) { got <- tk })
	if err := q.Enqueue(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), want[:10]); err != nil { // they are there: no error, or gone: stale later
		t.Fatal(err)
	}
	for range want {
		if tk := <-got; !slices.Contains(want, tk) {
			t.Fatalf("served %+v, which nobody enqueued", tk)
		}
	}
	stop()
	if active, err := q.Active(t.Context()); err != nil || len(active) > 0 {
		t.Errorf("still active: %v, %v", active, err)
	}
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
		if err := q.Enqueue(t.Context(), tickets(1, job.Low)); err != nil {
			t.Fatal(err)
		}
		<-got
	}
	if took := time.Since(began); took > n*200*time.Millisecond {
		t.Errorf("%d tickets one by one took %v", n, took)
	}
}

func TestHeadIsServedFirst(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	if err := q.Enqueue(t.Context(), tickets(100, job.Default)); err != nil {
		t.Fatal(err)
	}
	first := ticket(job.Default)
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
		if err := q.Enqueue(t.Context(), tickets(400, p)); err != nil {
			t.Fatal(err)
		}
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

// TestStopGivesBack holds that a server that stops leaves no ticket behind: a
// handler under way is waited for, what was taken ahead goes back.
func TestStopGivesBack(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	all := tickets(30, job.Default)
	if err := q.Enqueue(t.Context(), all); err != nil {
		t.Fatal(err)
	}
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
	served := 4 + len(begun)
	states, err := q.Look(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	pending := 0
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
}

func TestPausedQueueWaits(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	paused := q.nameOf(job.LaneIO, job.High).keys + "paused"
	if err := rdb.Set(t.Context(), paused, "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), append(tickets(1, job.High), tickets(1, job.Low)...)); err != nil {
		t.Fatal(err)
	}
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
		"no type":         func(tk *job.Ticket) { tk.Type = "" },
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
	t.Parallel()
	q, rdb := testQueue(t)
	keys := q.nameOf(job.LaneIO, job.Default).keys
	rdb.RPush(t.Context(), keys+"pending", "ghost-without-task", "another")
	rdb.HSet(t.Context(), keys+"t:undecodable", "msg", "\xff\xff", "state", "pending")
	rdb.RPush(t.Context(), keys+"pending", "undecodable")
	got := make(chan job.Ticket, 1)
	serve(t, q, 2, func(_ context.Context, tk job.Ticket) { got <- tk })
	want := ticket(job.Default)
	if err := q.Enqueue(t.Context(), []job.Ticket{want}); err != nil {
		t.Fatal(err)
	}
	if tk := <-got; tk != want {
		t.Errorf("served %+v", tk)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	begun, release := make(chan job.Ticket, 1), make(chan struct{})
	stop := serve(t, q, 1, func(_ context.Context, tk job.Ticket) {
		begun <- tk
		<-release
	})
	if err := q.Enqueue(t.Context(), tickets(1, job.Default)); err != nil {
		t.Fatal(err)
	}
	tk := <-begun
	if err := q.Discard(t.Context(), []job.Ticket{tk}); err != nil {
		t.Fatal(err)
	}
	if states, err := q.Look(t.Context(), []job.Ticket{tk}); err != nil || states[0] != jobstore.TicketAbsent {
		t.Errorf("ticket is %v, %v", states, err)
	}
	close(release) // the late completion finds nothing and harms nothing
	stop()
	if active, err := q.Active(t.Context()); err != nil || len(active) > 0 {
		t.Errorf("still active: %v, %v", active, err)
	}
}

func FuzzParseTaskID(f *testing.F) {
	f.Add(taskID(ticket(job.Default)))
	f.Add("x.1")
	f.Add("01a2094c-c1b7-7426-941b-a7e8cbc7cb2f.-1")
	f.Fuzz(func(t *testing.T, s string) {
		id, delivery, err := parseTaskID(s)
		if err != nil {
			return
		}
		if _, err := job.ParseID(string(id)); err != nil || delivery < 1 {
			t.Errorf("%q read as %q, %d", s, id, delivery)
		}
	})
}
