package queue

import (
	"slices"
	"testing"
	"time"

	"longshore/job"
)

// TestVoidParkedTicketsGo holds that a ticket that stands parked goes when its job
// waits no more, also one that others stand before, and that no other ticket does.
func TestVoidParkedTicketsGo(t *testing.T) {
	t.Parallel()
	q, rdb := testQueue(t)
	func() {
		oldest := q.submitType(t, 1, job.Default, "own.job")
		void := q.submitType(t, 1100, job.Default, "own.job")
		newest := q.submitType(t, 600, job.Default, "own.job")
		ended := q.submitType(t, 1200, job.Default, "other.job")
		for more := true; more; {
			_, more = claimed(t, q, q.taker("test.job"), 128)
		}
		for _, ticket := range append(void, ended...) {
			if err := q.store.RequestCancel(t.Context(), ticket.ID); err != nil {
				t.Fatal(err)
			}
		}
		other, unknown := newest[0], newest[0]
		other.Delivery, unknown.ID = 2, job.NewID(time.Now())
		said, err := q.store.Void(t.Context(), []job.Ticket{newest[0], void[0], other, unknown})
		if err != nil || !slices.Equal(said, []bool{false, true, true, true}) {
			t.Fatalf("void: %v, %v", said, err)
		}
		keys := q.nameIn(job.LaneIO, job.Default).keys
		own := keys + "pending:type:own.job"
		rdb.RPush(t.Context(), own, "no ticket")
		before := rdb.LRange(t.Context(), own, 0, -1).Val()
		for calls := 0; rdb.LLen(t.Context(), own).Val() > 601; calls++ { // parts are drawn by lot
			if err := q.DropVoid(t.Context(), q.store); err != nil || calls > 200 {
				t.Fatalf("after %d calls: %v", calls, err)
			}
			if calls == 0 && rdb.Exists(t.Context(), keys+"pending:type:other.job").Val() != 0 {
				t.Error("a list of nothing but void tickets stays")
			}
		}
		infos, err := q.Queues(t.Context())
		if err != nil || infos[1].Pending != 601 || len(infos[1].Parked) != 1 {
			t.Errorf("queue %+v, %v", infos[1], err)
		}
		if n := len(rdb.Keys(t.Context(), keys+"t:*").Val()); n != 601 {
			t.Errorf("%d tickets have a task, not 601", n)
		}
		after := rdb.LRange(t.Context(), own, 0, -1).Val()
		kept := slices.DeleteFunc(before, func(name string) bool { return !slices.Contains(after, name) })
		if !slices.Equal(kept, after) {
			t.Error("what stays has changed its order")
		}
		left := map[job.ID]bool{}
		for _, ticket := range append(oldest, newest...) {
			left[ticket.ID] = true
		}
		tk := q.taker("own.job", "other.job")
		for range len(left) {
			ids, _ := claimed(t, q, tk, 1)
			if len(ids) != 1 || !left[ids[0]] {
				t.Fatalf("took %v with %d left", ids, len(left))
			}
			delete(left, ids[0])
		}
	}()
}

// TestVoidPendingTicketsGo holds that tickets of a named queue that nobody serves go when their jobs wait no
// more, and that the queue is forgotten then.
func TestVoidPendingTicketsGo(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string]int{"one partition": 1, "sixteen": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, _ := queueOf(t, parts)
			stays := q.submitTo(t, "mailers")
			for range 20 {
				if err := q.store.RequestCancel(t.Context(), q.submitTo(t, "mailers").ID); err != nil {
					t.Fatal(err)
				}
			}
			waiting := func(want int64) {
				t.Helper()
				if _, err := q.Queues(t.Context()); err != nil { // it sees the lists
					t.Fatal(err)
				}
				if err := q.DropVoid(t.Context(), q.store); err != nil {
					t.Fatal(err)
				}
				infos, err := q.Queues(t.Context())
				n := int64(0)
				for _, info := range infos {
					n += info.Pending
				}
				if err != nil || n != want {
					t.Errorf("%d wait instead of %d, %v", n, want, err)
				}
			}
			waiting(1)
			if err := q.store.RequestCancel(t.Context(), stays.ID); err != nil {
				t.Fatal(err)
			}
			waiting(0)
			if err := q.store.ForgetQueues(t.Context(), nil, 0); err != nil {
				t.Fatal(err)
			}
			lists, err := q.lists(t.Context())
			for _, said := range lists {
				if err != nil || len(said) > 0 {
					t.Errorf("lists %q, %v", said, err)
				}
			}
		})
	}
}
