package operate

import (
	"context"
	"fmt"
	"testing"

	"longshore/internal/access"
	"longshore/internal/blob/memory"
	"longshore/internal/jobstore"
	"longshore/job"
)

// run starts a job, and returns its claim.
func (b *bench) run(kind string) jobstore.Claim {
	b.Helper()
	if _, err := b.Store.Create(b.Context(), b.newJob(kind)); err != nil {
		b.Fatal(err)
	}
	claims, _, err := b.Store.NewClaimer([]string{kind}).Claim(b.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 1)
	if err != nil || len(claims) != 1 {
		b.Fatal(claims, err)
	}
	return claims[0]
}

func line(delivery, n int64) string {
	return fmt.Sprintf(`{"n":%d,"attempt":1,"at":"2026-11-27T00:00:00Z","level":"info","msg":"line %d"}`,
		delivery<<32|n, n)
}

// TestLogsAreRead holds that a log reads the same from the list of a run, from its blob, and from the middle
// on, with what was dropped counted, and that a run that lost its job adds nothing.
func TestLogsAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	blobs := memory.New()
	b.Blobs = blobs
	c := b.run("test.job")
	id, d := c.Ticket.ID, c.Ticket.Delivery
	if err := b.Store.AppendLog(t.Context(), id, jobstore.NewFence(), d, []string{line(d, 1)}, 5,
		true); err == nil {
		t.Error("a stranger's line was taken")
	}
	if err := b.Store.AppendLog(t.Context(), id, c.Fence, d, []string{line(d, 1), line(d, 2), line(d, 5)}, 2,
		true); err != nil {
		t.Fatal(err)
	}
	read := func(after int64) (texts []string, whole, incomplete bool) {
		t.Helper()
		lines, _, whole, incomplete, err := b.Logs(t.Context(), access.Everything, id, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			texts = append(texts, l.Text)
		}
		return texts, whole, incomplete
	}
	dropped := func(n, gap int64) string { return fmt.Sprintf(`{"n":%d,"dropped":%d}`, d<<32|n, gap) }
	want := []string{dropped(1, 1), line(d, 2), dropped(4, 2), line(d, 5)}
	if got, whole, _ := read(0); fmt.Sprint(got) != fmt.Sprint(want) || whole {
		t.Errorf("while it runs: %q", got)
	}
	if got, _, _ := read(d<<32 | 3); fmt.Sprint(got) != fmt.Sprint([]string{dropped(4, 1), line(d, 5)}) {
		t.Errorf("from the middle: %q", got)
	}
	if _, err := b.Store.Finish(t.Context(), id, c.Fence,
		jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
		t.Fatal(err)
	}
	if _, whole, incomplete := read(0); !whole || !incomplete { // killed before it stored it
		t.Errorf("ended, not stored: %v %v", whole, incomplete)
	}
	out, err := blobs.Create(t.Context(), jobstore.LogBlob(id, d))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "%s\n%s\n", line(d, 1), line(d, 2))
	if _, err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	before, err := b.Store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a repeat is the same
		if err := b.Store.Logged(t.Context(), id, d, 1, 9); err != nil {
			t.Fatal(err)
		}
	}
	want = []string{line(d, 1), line(d, 2), dropped(9, 7)}
	if got, whole, incomplete := read(0); fmt.Sprint(got) != fmt.Sprint(want) || !whole || incomplete {
		t.Errorf("stored: %q %v", got, incomplete)
	}
	if snap, err := b.Store.Get(t.Context(), id); err != nil || snap.Rev != before.Rev {
		t.Errorf("rev %d, was %d, %v", snap.Rev, before.Rev, err)
	}
	if err := b.Store.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if keys := b.Redis.Keys(t.Context(), b.Prefix+":{0}:[lx]:*").Val(); len(keys) > 0 {
		t.Errorf("left: %q", keys)
	}
}

// TestFollowersAreWoken holds that a message wakes those who follow that job, and no other.
func TestFollowersAreWoken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := job.NewIDIn(b.newJob("x").ID.Time(), 1), b.newJob("x").ID
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, stop := b.FollowLog(ctx, one)
	sleeps, stop2 := b.FollowLog(ctx, other)
	defer stop2()
	b.HeardOfLog(one.Raw())
	<-wake
	select {
	case <-sleeps:
		t.Error("the other one was woken")
	default:
	}
	stop()
	b.HeardOfLog(one.Raw())
	if n := len(b.logs.waiting); n != 1 {
		t.Errorf("%d jobs are followed", n)
	}
}
