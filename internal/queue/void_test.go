package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// TestVoidParkedTicketsGo holds that a ticket that stands parked goes when its job
// waits no more, also one that others stand before, and that no other ticket does.
func TestVoidParkedTicketsGo(t *testing.T) {
	bothWays(t, func(t *testing.T, q *bundle, rdb redis.UniversalClient) {
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
		keys := q.nameOf(job.LaneIO, job.Default).keys
		own := keys + "pending:type:own.job"
		rdb.RPush(t.Context(), own, "no ticket")
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
		tk, got := q.taker("own.job", "other.job"), 0
		for _, want := range append(oldest, newest...) { // still in their order
			ids, _ := claimed(t, q, tk, 1)
			if len(ids) != 1 || ids[0] != want.ID {
				t.Fatalf("ticket %d is %v, not %s", got, ids, want.ID)
			}
			got++
		}
	})
}
