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
	"longshore/job"
)

// claimed takes from the default queue once, as a worker of these types.
func claimed(t *testing.T, q *bundle, tk *taker, n int) (ids []job.ID, more bool) {
	t.Helper()
	var claims []jobstore.Claim
	var err error
	if tk.claimer != nil {
		claims, more, err = tk.claimer.Claim(t.Context(), job.LaneIO, job.Default, n, true)
	} else {
		claims, more, err = tk.server.takeApart(t.Context(), &source{queueName: q.nameOf(job.LaneIO, job.Default)}, n, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		if c.Err != nil {
			t.Fatalf("claim of %s: %v", c.Ticket.ID, c.Err)
		}
		ids = append(ids, c.Ticket.ID)
	}
	return ids, more
}

func (q *bundle) taker(types ...string) *taker {
	tk := &taker{types: types, server: q.NewServer(q.store, types, map[job.Lane]int{job.LaneIO: 1})}
	if q.store.Fused() {
		tk.claimer = q.store.NewClaimer(types)
	}
	return tk
}

// TestTakePutsAsideSomeAtATime holds that a take passes a long row of tickets
// that are not its own, in steps that are short for Redis, and finds its own
// behind them.
func TestTakePutsAsideSomeAtATime(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		const others = 1000
		q.submitType(t, others, job.Default, "own.job")
		mine := q.submit(t, 1, job.Default)
		stock, keys := q.taker("test.job"), q.nameOf(job.LaneIO, job.Default).keys
		for calls, before := 1, int64(0); ; calls++ {
			ids, more := claimed(t, q, stock, 16)
			parked := rdb.LLen(t.Context(), keys+"pending:type:own.job").Val()
			if parked-before > 256 {
				t.Fatalf("one take put %d tickets aside", parked-before)
			}
			before = parked
			if slices.Contains(ids, mine[0].ID) {
				break
			}
			if !more || calls > others {
				t.Fatalf("after %d takes: %d parked, more %v", calls, parked, more)
			}
		}
		infos, err := q.Queues(t.Context())
		if err != nil || infos[1].Pending != others || len(infos[1].Parked) != 1 || infos[1].Parked[0] != (Parked{"own.job", others}) {
			t.Errorf("queue %+v, %v", infos[1], err)
		}
		if infos[1].Latency <= 0 {
			t.Error("the parked ones are not counted into the latency")
		}
		if ids, more := claimed(t, q, stock, 16); len(ids) > 0 || more {
			t.Errorf("stock worker: %d more, %v", len(ids), more)
		}
	})
}

// TestParkedAndPendingShare holds that neither list waits for the other's end.
func TestParkedAndPendingShare(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		own := q.submitType(t, 100, job.Default, "own.job")
		if ids, _ := claimed(t, q, q.taker("test.job"), 128); len(ids) > 0 {
			t.Fatalf("stock worker took %v", ids)
		}
		q.submit(t, 100, job.Default)
		both := q.taker("test.job", "own.job")
		count := map[bool]int{}
		for _, n := range []int{1, 1, 1, 1, 8, 8, 7, 3} {
			ids, more := claimed(t, q, both, n)
			if len(ids) != n || !more {
				t.Fatalf("took %d of %d, more %v", len(ids), n, more)
			}
			for _, id := range ids {
				isOwn := slices.ContainsFunc(own, func(t job.Ticket) bool { return t.ID == id })
				count[isOwn]++
			}
		}
		if count[true] < 12 || count[false] < 12 {
			t.Errorf("of 30: %d were parked, %d were not", count[true], count[false])
		}
		for left := 170; left > 0; {
			ids, _ := claimed(t, q, both, 128)
			if len(ids) == 0 {
				t.Fatalf("%d tickets are not found", left)
			}
			left -= len(ids)
		}
	})
}

// TestParkedTypesShare holds that each parked type gets its turn, also from a worker
// that is busy and takes one ticket at a time.
func TestParkedTypesShare(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		kinds := []string{"own.job", "other.job", "third.job", "last.job"}
		of := map[job.ID]string{}
		for _, kind := range kinds {
			for _, t := range q.submitType(t, 40, job.Default, kind) {
				of[t.ID] = kind
			}
		}
		for more := true; more; {
			_, more = claimed(t, q, q.taker("test.job"), 128)
		}
		q.submit(t, 40, job.Default)
		all, count := q.taker(append(kinds, "test.job")...), map[string]int{}
		for range 40 {
			ids, _ := claimed(t, q, all, 1)
			if len(ids) != 1 {
				t.Fatalf("took %v", ids)
			}
			count[of[ids[0]]]++
		}
		for _, kind := range kinds {
			if count[kind] < 4 {
				t.Errorf("of 40 only %d are of %s: %v", count[kind], kind, count)
			}
		}
		if count[""] < 15 {
			t.Errorf("of 40 only %d were not parked", count[""])
		}
	})
}

// TestHeadOfParked holds that a ticket that was served before is first in its
// type's list too.
func TestHeadOfParked(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		q.submitType(t, 10, job.Default, "own.job")
		claimed(t, q, q.taker("test.job"), 16)
		again := job.Ticket{ID: job.NewID(time.Now()), Delivery: 1, Type: "own.job", Lane: job.LaneIO, Priority: job.Default}
		n := jobstore.NewJob{ID: again.ID, Type: again.Type, Lane: again.Lane, Priority: again.Priority, Timeout: time.Minute, MaxAttempts: 1, Retention: time.Hour,
			RunAt: time.Now().Add(-time.Second)}
		if _, err := q.store.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		sweeper := &jobstore.Sweeper{Store: q.store, Tickets: headOnly{q.Queue}}
		if _, err := sweeper.Sweep(t.Context()); err != nil { // its time has come
			t.Fatal(err)
		}
		if ids, _ := claimed(t, q, q.taker("own.job"), 1); len(ids) != 1 || ids[0] != again.ID {
			t.Errorf("took %v, not the head %v", ids, again.ID)
		}
	})
}

// headOnly sends all tickets to the head.
type headOnly struct{ *Queue }

func (h headOnly) Enqueue(ctx context.Context, tickets []job.Ticket) error {
	return h.EnqueueHead(ctx, tickets)
}

func TestPausedQueueHoldsParked(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		q.submitType(t, 3, job.Default, "own.job")
		claimed(t, q, q.taker("test.job"), 16)
		paused := q.nameOf(job.LaneIO, job.Default).keys + "paused"
		rdb.Set(t.Context(), paused, "1", 0)
		own := q.taker("own.job")
		if ids, _ := claimed(t, q, own, 8); len(ids) > 0 {
			t.Errorf("a paused queue gave %v", ids)
		}
		rdb.Del(t.Context(), paused)
		if ids, _ := claimed(t, q, own, 8); len(ids) != 3 {
			t.Errorf("then it gave %v", ids)
		}
	})
}

// TestOlderWorkersGetTheirTickets holds that what stands parked comes back for a
// worker of a release that knows nothing of it, and that nothing is parked while
// one is about.
func TestOlderWorkersGetTheirTickets(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
		q.submitType(t, 5, job.Default, "own.job")
		q.submitType(t, 5, job.Default, "new.job")
		claimed(t, q, q.taker("test.job"), 16)
		keys := q.nameOf(job.LaneIO, job.Default).keys
		old, young := `{"host":"old","pid":7,"slots":{"io":1}}`, `{"host":"young","pid":7,"slots":{"io":1},"types":["new.job"]}`
		for _, text := range []string{old, young} {
			rdb.ZAdd(t.Context(), q.workersKey(), redis.Z{Score: float64(time.Now().UnixMilli()), Member: text})
		}
		if did, err := q.Mind(t.Context()); !did || err != nil {
			t.Fatalf("mind: %v, %v", did, err)
		}
		if did, err := q.Mind(t.Context()); did || err != nil {
			t.Errorf("and again at once: %v, %v", did, err)
		}
		if n, m := rdb.LLen(t.Context(), keys+"pending").Val(), rdb.LLen(t.Context(), keys+"pending:type:new.job").Val(); n != 5 || m != 5 {
			t.Fatalf("%d tickets came back, %d are parked", n, m)
		}
		// A worker that has heard of it postpones, as it did before there were parked tickets.
		s := q.NewServer(q.store, []string{"test.job"}, map[job.Lane]int{job.LaneIO: 8})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		got := make(chan error, 16)
		s.sayAlive(ctx, s.about(false), "")
		wg.Go(func() {
			_ = s.Run(ctx, func(ctx context.Context, c jobstore.Claim) {
				got <- c.Err
				if err := q.store.Postpone(ctx, c.Ticket, time.Hour); err != nil {
					t.Error(err)
				}
			})
		})
		for range 5 {
			if err := <-got; !errors.Is(err, jobstore.ErrUnserved) {
				t.Errorf("got %v", err)
			}
		}
		cancel()
		wg.Wait()
		rdb.ZRem(t.Context(), q.workersKey(), old)
		rdb.Del(t.Context(), q.prefix+":minded")
		if did, err := q.Mind(t.Context()); !did || err != nil || rdb.Exists(t.Context(), q.legacyKey()).Val() != 0 {
			t.Errorf("the old worker has gone: %v, %v", did, err)
		}
	})
}

// TestOwnTypeAmongOthers holds that a type which one of four workers serves waits
// about as long as one that all of them serve. It waited 10 s and more.
func TestOwnTypeAmongOthers(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		var mu sync.Mutex
		sent, waits := map[job.ID]time.Time{}, map[string][]time.Duration{}
		types := map[job.ID]string{}
		var left sync.WaitGroup
		handle := func(_ context.Context, tk job.Ticket) {
			mu.Lock()
			defer mu.Unlock()
			typ := types[tk.ID]
			waits[typ] = append(waits[typ], time.Since(sent[tk.ID]))
			left.Done()
		}
		for range 3 {
			serveTypes(t, q, []string{"test.job"}, 4, handle)
		}
		serveTypes(t, q, []string{"test.job", "own.job"}, 4, handle)
		for range 150 {
			for _, typ := range []string{"test.job", "own.job"} {
				left.Add(1)
				mu.Lock() // until it is known when it was sent
				tk := q.submitType(t, 1, job.Default, typ)[0]
				sent[tk.ID], types[tk.ID] = time.Now(), typ
				mu.Unlock()
			}
		}
		left.Wait()
		p99 := func(typ string) time.Duration {
			slices.Sort(waits[typ])
			return waits[typ][len(waits[typ])*99/100]
		}
		built, own := p99("test.job"), p99("own.job")
		t.Logf("p99: %v of the type that all serve, %v of the own one", built, own)
		if own > 2*built+250*time.Millisecond { // the machine's share: these are milliseconds
			t.Errorf("p99 of the own type is %v, of the other %v", own, built)
		}
	})
}

// TestLatencyIsNeverLost reads the queues while they are emptied: a moment's
// oldest ticket may be gone in the next one.
func TestLatencyIsNeverLost(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	q.submit(t, 3000, job.Default)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tk := q.taker("test.job")
		for {
			if claims, _, err := tk.claimer.Claim(t.Context(), job.LaneIO, job.Default, 2, true); err != nil || len(claims) == 0 {
				return
			}
		}
	}()
	reads := 0
	for ; ; reads++ {
		infos, err := q.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if infos[1].Pending > 0 && infos[1].Latency <= 0 {
			t.Fatalf("read %d: %+v", reads, infos[1])
		}
		select {
		case <-done:
			if reads < 10 {
				t.Errorf("only %d reads", reads)
			}
			return
		default:
		}
	}
}
