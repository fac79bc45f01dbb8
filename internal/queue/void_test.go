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
