package jobstore

import (
	"fmt"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// TestRestoreAfterGone has a job end and go between its turn in the backup and the look at how it ended: it
// is there again where it is restored, and who is after it waits for it.
func TestRestoreAfterGone(t *testing.T) {
	t.Parallel()
	from, to := turnedStore(t), turnedStore(t)
	before, after := simple(), simple()
	after.After = []job.ID{before.ID}
	mustCreate(t, from.Store, before)
	mustCreate(t, from.Store, after)
	list, _ := dumpOf(t, from.Store)
	ids, fences := from.takes(t, before, 1)
	if len(ids) != 1 {
		t.Fatal("it doesn't start")
	}
	from.finish(t, before.ID, fences[0], End{Outcome: Succeeded})
	from.turn(t, time.Second)
	if err := from.Remove(t.Context(), before.ID); err != nil {
		t.Fatal(err)
	}
	restored(t, from.Store, to.Store, list, 1)
	if snap := to.state(t, after.ID); snap.State != job.Awaiting {
		t.Fatalf("who is after it is %s", snap.State)
	}
	_, fences = to.takes(t, before, 1)
	to.finish(t, before.ID, fences[0], End{Outcome: Succeeded})
	to.turn(t, time.Minute)
	if snap := to.state(t, after.ID); snap.State != job.Queued {
		t.Errorf("behind its end who is after it is %s", snap.State)
	}
}

// TestRestoreLines holds that a slot to a job's end has one holder, whichever of two jobs is made first: who
// stood in the line stands there again, behind who keeps it.
func TestRestoreLines(t *testing.T) {
	t.Parallel()
	from, to := turnedStore(t), turnedStore(t)
	one := Slots{Limit: "t/order", Most: 1, ToEnd: true}
	from.limits(t, 1, one)
	to.limits(t, 1, one)
	line := limited("", one.Class("a"))
	line.RunAt = time.UnixMilli(from.now).Add(10 * time.Second)
	keeper, last := limited(line.ID, one.Class("a")), limited(line.ID, one.Class("a"))
	mustCreate(t, from.Store, line)
	mustCreate(t, from.Store, keeper)
	_, fences := from.takes(t, keeper, 1)
	from.finish(t, keeper.ID, fences[0], End{Outcome: Retry, Code: job.HandlerError, Delay: 10 * time.Minute})
	mustCreate(t, from.Store, last)
	from.turn(t, 11*time.Second)
	list, _ := dumpOf(t, from.Store)
	restored(t, from.Store, to.Store, list, 1)
	to.set(t)
	to.turn(t, 20*time.Second)
	if ids, _ := to.takes(t, line, 3); len(ids) > 0 {
		t.Fatalf("while the slot is kept %v start", ids)
	}
	to.turn(t, 11*time.Minute)
	for i, want := range []job.ID{keeper.ID, line.ID, last.ID} {
		ids, fences := to.takes(t, line, 3)
		if len(ids) != 1 || ids[0] != want {
			t.Fatalf("%d: %v start, not %v", i, ids, want)
		}
		to.finish(t, want, fences[0], End{Outcome: Succeeded})
		to.turn(t, time.Second)
	}
}

// TestRestoreUsers holds that a batch stays for who is to gather it.
func TestRestoreUsers(t *testing.T) {
	t.Parallel()
	from, to := turnedStore(t), turnedStore(t)
	b, then := simple(), simple()
	b.Type, b.ExpiresIn, b.Name, then.Hold = job.BatchType, time.Hour, "b", "why"
	if _, err := from.OpenBatch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, from.Store, then)
	if err := from.Use(t.Context(), b.ID, then.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Views().CloseBatch(t.Context(), access.Everything, b.ID, ""); err != nil {
		t.Fatal(err)
	}
	from.turn(t, time.Minute)
	list, _ := dumpOf(t, from.Store)
	restored(t, from.Store, to.Store, list, 1)
	for _, s := range []*turned{from, to} {
		for range 10 {
			s.turn(t, time.Hour)
		}
		if snap := s.state(t, b.ID); !snap.Done {
			t.Errorf("it is %s", snap.State)
		}
	}
}

// TestRestoreManyQueues brings a job back whose queue is one more than may come to be anew.
func TestRestoreManyQueues(t *testing.T) {
	t.Parallel()
	from, to := turnedStore(t), turnedStore(t)
	n := simple()
	n.Queue = "mailers"
	mustCreate(t, from.Store, n)
	mustCreate(t, from.Store, simple())
	for i := range MaxQueues {
		if err := to.Enroll(t.Context(), fmt.Sprintf("q%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := dumpOf(t, from.Store)
	restored(t, from.Store, to.Store, list, 1)
	if ids, _ := to.takes(t, n, 1); len(ids) != 1 {
		t.Error("it doesn't start")
	}
}
