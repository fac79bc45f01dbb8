package queue

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// A taker is a worker as far as taking goes.
type taker struct {
	types   []string
	claimer *jobstore.Claimer
	part    int
}

func (q *bundle) taker(types ...string) *taker {
	return &taker{types: types, claimer: q.store.NewClaimer(types)}
}

// claimed takes from the default queue once, as a worker of these types: from each partition until there are
// n.
func claimed(t *testing.T, q *bundle, tk *taker, n int) (ids []job.ID, more bool) {
	t.Helper()
	for range q.parts {
		tk.part = (tk.part + 1) % q.parts
		claims, again, err := tk.claimer.Claim(t.Context(),
			job.Place{Lane: job.LaneIO, Priority: job.Default}, tk.part, n-len(ids))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claims {
			if c.Err != nil {
				t.Fatalf("claim of %s: %v", c.Ticket.ID, c.Err)
			}
			ids = append(ids, c.Ticket.ID)
		}
		if more = more || again; len(ids) == n {
			return ids, true
		}
	}
	return ids, more
}

// TestTakePutsAsideSomeAtATime holds that a take passes a long row of tickets
// that are not its own, in steps that are short for Redis, and finds its own
// behind them.
func TestTakePutsAsideSomeAtATime(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	const others = 1000
	q.submitType(t, others, job.Default, "own.job")
	mine := q.submit(t, 1, job.Default)
	stock := q.taker("test.job")
	for calls, before := 1, int64(0); ; calls++ {
		ids, more := claimed(t, q, stock, 16)
		parked := int64(len(q.entries(t, job.Default, "pending:type:own.job")))
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
	if err != nil || infos[1].Pending != others || len(infos[1].Parked) != 1 ||
		infos[1].Parked[0] != (Parked{"own.job", others}) {
		t.Errorf("queue %+v, %v", infos[1], err)
	}
	if len(infos[1].Oldest) == 0 {
		t.Error("the parked ones are not among the oldest")
	}
	if ids, more := claimed(t, q, stock, 16); len(ids) > 0 || more {
		t.Errorf("stock worker: %d more, %v", len(ids), more)
	}
}

// TestParkedAndPendingShare holds that neither list waits for the other's end.
func TestParkedAndPendingShare(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
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
}

// TestParkedTypesShare holds that each parked type gets its turn, also from a worker
// that is busy and takes one ticket at a time.
func TestParkedTypesShare(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
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
}

// TestHeadOfParked holds that a ticket that was served before is first in its
// type's list too.
func TestHeadOfParked(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
	again := q.submitType(t, 1, job.Default, "own.job")[0]
	own := q.taker("own.job")
	claims, _, err := own.claimer.Claim(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	q.submitType(t, 10, job.Default, "own.job")
	claimed(t, q, q.taker("test.job"), 16)
	if _, err := q.store.Finish(t.Context(), again.ID, claims[0].Fence,
		jobstore.End{Outcome: jobstore.Release}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := claimed(t, q, own, 1); len(ids) != 1 || ids[0] != again.ID {
		t.Errorf("took %v, not the head %v", ids, again.ID)
	}
}

func TestPausedQueueHoldsParked(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, _ redis.UniversalClient) {
		q.submitType(t, 3, job.Default, "own.job")
		claimed(t, q, q.taker("test.job"), 16)
		if err := q.Pause(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}); err != nil {
			t.Fatal(err)
		}
		own := q.taker("own.job")
		if ids, _ := claimed(t, q, own, 8); len(ids) > 0 {
			t.Errorf("a paused queue gave %v", ids)
		}
		if err := q.Resume(t.Context(), job.Place{Lane: job.LaneIO, Priority: job.Default}); err != nil {
			t.Fatal(err)
		}
		if ids, _ := claimed(t, q, own, 8); len(ids) != 3 {
			t.Errorf("then it gave %v", ids)
		}
	})
}

// TestOwnTypeAmongOthers holds that a type which one of four workers serves waits
// about as long as one that all of them serve. It waited 10 s and more.
func TestOwnTypeAmongOthers(t *testing.T) {
	t.Parallel()
	q, _ := testQueue(t)
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
}
