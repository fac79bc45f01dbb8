package jobstore

import (
	"testing"
	"time"

	"longshore/job"
)

// TestRestoreAfterGone has a job end and go between its turn in the backup and the look at how it ended: it is
// there again where it is restored, and who is after it waits for it.
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
