package jobstore

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// A turned store has a clock that the test turns.
type turned struct {
	*Store
	sweeper *Sweeper
	queue   handQueue
	now     int64
}

func turnedStore(t *testing.T) *turned {
	t.Helper()
	s := &turned{Store: storeOf(t, Config{Prefix: redistest.Prefix(t), Turned: true}), now: 1_700_000_000_000}
	s.queue = handQueue{s.Store}
	s.sweeper = &Sweeper{Store: s.Store, Log: slog.New(slog.DiscardHandler)}
	s.turn(t, 0)
	return s
}

// turn turns the clock and lets the sweeper see each half second of it; of more than some seconds each one,
// after which leases get no time back yet, of more than some minutes each five, of half an hour and more
// each thirty.
func (s *turned) turn(t *testing.T, d time.Duration) Swept {
	t.Helper()
	var sum Swept
	step := int64(500)
	switch {
	case d >= 30*time.Minute:
		step = 30_000
	case d > 5*time.Minute:
		step = 5000
	case d > 10*time.Second:
		step = stallMS
	}
	for left := d.Milliseconds(); ; left -= step {
		s.now += min(left, step)
		s.set(t)
		swept, err := s.sweeper.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum.Reissued, sum.Due, sum.Looked = sum.Reissued+swept.Reissued, sum.Due+swept.Due,
			sum.Looked+swept.Looked
		sum.Repaired, sum.Removed, sum.Quarantined = sum.Repaired+swept.Repaired, sum.Removed+swept.Removed,
			sum.Quarantined+swept.Quarantined
		if left <= step {
			return sum
		}
	}
}

func (s *turned) set(t *testing.T) {
	t.Helper()
	if err := s.Store.turn(t.Context(), s.now); err != nil {
		t.Fatal(err)
	}
}

// started creates a job and starts it.
func (s *turned) started(t *testing.T, n NewJob) (fence string) {
	t.Helper()
	ticket := mustCreate(t, s.Store, n)
	fence = NewFence()
	if _, err := s.Start(t.Context(), ticket, fence, false); err != nil {
		t.Fatal(err)
	}
	return fence
}

func (s *turned) state(t *testing.T, id job.ID) job.Snapshot {
	t.Helper()
	snap, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestRepeatsAreHarmless(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	first, err1 := s.Create(t.Context(), n)
	again, err2 := s.Create(t.Context(), n)
	if err1 != nil || err2 != nil || !first.New || again.New || again.ID != n.ID {
		t.Errorf("create twice: %+v %v, %+v %v", first, err1, again, err2)
	}
	fence := NewFence()
	for range 2 {
		if st, err := s.Start(t.Context(), first.Ticket, fence, false); err != nil || st.Attempt != 1 {
			t.Errorf("start: %+v, %v", st, err)
		}
	}
	if _, err := s.Start(t.Context(), first.Ticket, NewFence(), false); !errors.Is(err, ErrStale) {
		t.Errorf("start by another: %v", err)
	}
	for range 2 {
		if e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded}); err != nil ||
			e.State != job.Succeeded {
			t.Errorf("finish: %+v, %v", e, err)
		}
	}
	if _, err := s.Finish(t.Context(), n.ID, NewFence(),
		End{Outcome: Failed, Code: job.HandlerError}); !errors.Is(err, ErrLost) {
		t.Errorf("finish by another: %v", err)
	}
	if snap := s.state(t, n.ID); snap.Rev != 3 || snap.State != job.Succeeded {
		t.Errorf("after all repeats: %+v", snap)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.IdempotencyKey, n.Retention = "order-7", time.Hour
	n.ID = DrawID(time.Now(), access.Owner{}, n.IdempotencyKey)
	mustCreate(t, s.Store, n)
	repeat := n
	repeat.ID = DrawID(time.Now(), access.Owner{}, n.IdempotencyKey)
	if c, err := s.Create(t.Context(), repeat); err != nil || c.New || c.ID != n.ID {
		t.Errorf("repeat: %+v, %v", c, err)
	}
	other := repeat
	other.Digest = "another body"
	if _, err := s.Create(t.Context(), other); !errors.Is(err, ErrMismatch) {
		t.Errorf("other body: %v", err)
	}
	if _, err := s.Cancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	s.turn(t, time.Hour+time.Minute) // the key lives as long as its record
	if c, err := s.Create(t.Context(), other); err != nil || !c.New {
		t.Errorf("after the record went: %+v, %v", c, err)
	}
}

func TestChosenIDStaysClaimed(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	n.Claim = time.Hour
	mustCreate(t, s, n)
	if c, err := s.Create(t.Context(), n); err != nil || c.New || c.ID != n.ID {
		t.Errorf("repeat: %+v, %v", c, err)
	}
	if _, err := s.Cancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), n); !errors.Is(err, ErrClaimed) {
		t.Errorf("after it was removed: %v", err)
	}
}

// TestCancelInEachState holds what a cancel does, and that it comes late for a
// job that has ended.
func TestCancelInEachState(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	reach := map[job.State]func() job.ID{
		job.Uploading: func() job.ID {
			n := simple()
			n.UploadFence = NewFence()
			mustCreate(t, s.Store, n)
			return n.ID
		},
		job.Scheduled: func() job.ID {
			n := simple()
			n.RunAt = time.UnixMilli(s.now).Add(time.Hour)
			mustCreate(t, s.Store, n)
			return n.ID
		},
		job.Queued: func() job.ID {
			n := simple()
			mustCreate(t, s.Store, n)
			return n.ID
		},
		job.Retrying: func() job.ID {
			n := simple()
			fence := s.started(t, n)
			if _, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Retry, Delay: time.Hour,
				Code: job.HandlerError, Message: "no"}); err != nil {
				t.Fatal(err)
			}
			return n.ID
		},
	}
	for from, make := range reach {
		id := make()
		if snap := s.state(t, id); snap.State != from {
			t.Fatalf("made %s, wanted %s", snap.State, from)
		}
		if snap, err := s.Cancel(t.Context(), id); err != nil || snap.State != job.Canceled {
			t.Errorf("cancel while %s: %s, %v", from, snap.State, err)
		}
	}
	n := simple()
	fence := s.started(t, n)
	if snap, err := s.Cancel(t.Context(), n.ID); err != nil || snap.State != job.Running ||
		!snap.CancelRequested {
		t.Errorf("cancel while running: %+v, %v", snap, err)
	}
	if replies, err := s.Beats(t.Context(), []Beat{{ID: n.ID, Fence: fence, Renew: true}}); err != nil ||
		!replies[0].Cancel {
		t.Errorf("beat after a cancel: %+v, %v", replies, err)
	}
	if e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded}); err != nil ||
		e.State != job.Canceled {
		t.Errorf("finish after a cancel: %+v, %v", e, err)
	}
	done := simple()
	fence = s.started(t, done)
	if _, err := s.Finish(t.Context(), done.ID, fence, End{Outcome: Succeeded}); err != nil {
		t.Fatal(err)
	}
	if snap, err := s.Cancel(t.Context(), done.ID); err != nil || snap.State != job.Succeeded {
		t.Errorf("cancel that came late: %+v, %v", snap, err)
	}
}

// TestCancelEndsASilentRun holds the promise for a worker that hears nothing:
// neither renewals nor further cancels lengthen the lease.
func TestCancelEndsASilentRun(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	fence := s.started(t, n)
	for range 9 {
		if err := s.RequestCancel(t.Context(), n.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Beats(t.Context(), []Beat{{ID: n.ID, Fence: fence, Renew: true}}); err != nil {
			t.Fatal(err)
		}
		s.turn(t, 500*time.Millisecond)
	}
	s.turn(t, 500*time.Millisecond)
	if snap := s.state(t, n.ID); snap.State != job.Canceled {
		t.Errorf("5 s after the cancel the job is %s", snap.State)
	}
}

// TestEarlyNotification holds that a cancel is seen at once whose notification came before
// the worker had the reply that its run began.
func TestEarlyNotification(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	fence := s.started(t, n)
	if err := s.RequestCancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	keeper := NewKeeper(s.Store, slog.New(slog.DiscardHandler))
	keeper.Notify(n.ID)
	var stopped error
	keeper.Keep(&Hold{ID: n.ID, Fence: fence, Sent: time.Now(), Stop: func(cause error) { stopped = cause }})
	if err := keeper.beat(t.Context()); err != nil || !errors.Is(stopped, ErrCanceled) {
		t.Errorf("the run was stopped with %v, %v", stopped, err)
	}
}

func TestScheduledAndRetriedJobsComeDue(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.RunAt = time.UnixMilli(s.now).Add(10 * time.Second)
	mustCreate(t, s.Store, n)
	s.turn(t, 9500*time.Millisecond)
	if _, early := s.queue.pop(); early {
		t.Fatal("a ticket came before its time")
	}
	s.turn(t, 500*time.Millisecond)
	ticket, ok := s.queue.pop()
	if !ok || ticket.ID != n.ID {
		t.Fatal("no ticket in time")
	}
	for attempt := 1; attempt <= 3; attempt++ {
		fence := NewFence()
		if st, err := s.Start(t.Context(), ticket, fence, false); err != nil || st.Attempt != attempt {
			t.Fatalf("attempt %d: %+v, %v", attempt, st, err)
		}
		e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Retry, Delay: 1500 * time.Millisecond,
			Code: job.Timeout, Message: "try " + strconv.Itoa(attempt)})
		if err != nil {
			t.Fatal(err)
		}
		if want := job.Retrying; attempt < 3 && e.State != want {
			t.Fatalf("state %s, want %s", e.State, want)
		}
		s.turn(t, 1500*time.Millisecond)
		ticket, _ = s.queue.pop()
	}
	snap := s.state(t, n.ID)
	if snap.State != job.Failed || snap.Attempt != 3 || len(snap.Errors) != 3 ||
		snap.Error.Message != "try 3" || snap.Errors[0].Attempt != 1 {
		t.Errorf("job ended as %+v", snap)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.ExpiresIn = 3 * time.Second
	ticket := mustCreate(t, s.Store, n)
	ran := simple()
	ran.ExpiresIn = 3 * time.Second
	fence := s.started(t, ran)
	if _, err := s.Finish(t.Context(), ran.ID, fence, End{Outcome: Retry, Delay: time.Second,
		Code: job.HandlerError}); err != nil {
		t.Fatal(err)
	}
	s.turn(t, 4*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Expired || !snap.Done {
		t.Errorf("nobody started it: %+v", snap)
	}
	if _, err := s.Start(t.Context(), ticket, NewFence(), false); !errors.Is(err, ErrStale) {
		t.Errorf("start of an expired job: %v", err)
	}
	if snap := s.state(t, ran.ID); snap.State != job.Queued {
		t.Errorf("a job that has run is %s", snap.State)
	}
}

func TestRetentionRemovesEverything(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.Retention = time.Minute
	n.Spec.Payload = payloadOf(shortPayload + 1)
	fence := s.started(t, n)
	if _, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded, Result: []byte(`1`),
		Progress: &job.Progress{}}); err != nil {
		t.Fatal(err)
	}
	if swept := s.turn(t, 59*time.Second); swept.Removed != 0 {
		t.Error("removed before its time")
	}
	if swept := s.turn(t, 2*time.Second); swept.Removed != 1 {
		t.Errorf("swept %+v", swept)
	}
	if _, err := s.Get(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("after retention: %v", err)
	}
	s.empty(t)
}

func TestPostponeAndRelease(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	ticket := mustCreate(t, s.Store, n)
	if err := s.Postpone(t.Context(), ticket, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Postpone(t.Context(), ticket, 2*time.Second); !errors.Is(err, ErrStale) {
		t.Errorf("second postpone: %v", err)
	}
	s.turn(t, 2*time.Second)
	ticket, _ = s.queue.pop()
	fence := NewFence()
	if _, err := s.Start(t.Context(), ticket, fence, false); err != nil {
		t.Fatal(err)
	}
	e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Release})
	if err != nil || e.State != job.Queued || e.Ticket.Delivery != ticket.Delivery+1 {
		t.Fatalf("release: %+v, %v", e, err)
	}
	if snap := s.state(t, n.ID); snap.Attempt != 0 || len(snap.Errors) != 0 {
		t.Errorf("a release consumed an attempt: %+v", snap)
	}
}

func TestEventsTellEachChange(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ready, events := make(chan struct{}), make(chan job.Rev, 16)
	go s.Listen(ctx, func(r job.Rev) { events <- r }, func() { close(ready) })
	<-ready
	n := simple()
	ticket := mustCreate(t, s, n)
	fence := NewFence()
	if _, err := s.Start(ctx, ticket, fence, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(ctx, n.ID, fence, End{Outcome: Succeeded}); err != nil {
		t.Fatal(err)
	}
	for rev := int64(1); rev <= 3; rev++ {
		if got, want := <-events, (job.Rev{ID: n.ID, Rev: rev, Done: rev == 3}); got != want {
			t.Errorf("event %+v, want %+v", got, want)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(strings.Repeat("x", 16) + "\x00\x00\x00\x03r")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) != eventSize {
			return
		}
		if rev, ok := parseEvent(s); ok && (rev.Rev < 0 || len(rev.ID) != 36) {
			t.Errorf("%q read as %+v", s, rev)
		}
	})
}
