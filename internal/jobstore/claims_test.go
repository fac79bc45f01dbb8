package jobstore

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// claimable is a job that is claimed.
func claimable() NewJob {
	n := first()
	n.Lane, n.Type = job.LaneClaim, "photos.caption"
	return n
}

// handOut asks the partition of all claimable jobs here.
func (s *turned) handOut(t *testing.T, h Hand) (claims []Claim, again bool) {
	t.Helper()
	n := claimable()
	claims, again, err := s.HandOut(t.Context(), s.part(n.ID), h, 0, []job.Place{n.Place()})
	if err != nil {
		t.Fatal(err)
	}
	return claims, again
}

// TestHandOut holds what repeats of a request are given, and what is taken back.
func TestHandOut(t *testing.T) {
	t.Parallel()
	overParts(t, testHandOut)
}

func testHandOut(t *testing.T, s *turned) {
	jobs := []NewJob{claimable(), claimable(), claimable()}
	for _, n := range jobs {
		mustCreate(t, s.Store, n)
	}
	h := Hand{Worker: "w", Key: "k", Try: 1, N: 2}
	claims, again := s.handOut(t, h)
	if len(claims) != 2 || again || claims[0].Ticket.ID != jobs[0].ID || claims[0].Started.Attempt != 1 ||
		ClaimOf(claims[0].Fence) == "" || FenceOf(ClaimOf(claims[0].Fence)) != claims[0].Fence {
		t.Fatalf("claims %+v, %v", claims, again)
	}
	h.Try = 2
	repeat, again := s.handOut(t, h)
	if len(repeat) != 2 || !again || repeat[1].Fence != claims[1].Fence {
		t.Fatalf("a repeat: %+v, %v", repeat, again)
	}
	h.Try = 1
	if _, _, err := s.HandOut(t.Context(), s.part(jobs[0].ID), h, 0, nil); !errors.Is(err, ErrLaterTry) {
		t.Errorf("the try before: %v", err)
	}
	back := func(try int) {
		t.Helper()
		h.Try = try
		if err := s.TakeBack(t.Context(), s.part(jobs[0].ID), h); err != nil {
			t.Fatal(err)
		}
	}
	if back(1); s.state(t, jobs[0].ID).State != job.Running {
		t.Error("a try took back what a later one was given")
	}
	if back(2); s.state(t, jobs[0].ID).State != job.Queued {
		t.Error("nothing was taken back")
	}
	other := Hand{Worker: "v", Key: "k", Try: 1, N: 9}
	if all, _ := s.handOut(t, other); len(all) != 3 || all[0].Started.Attempt != 1 {
		t.Fatalf("another worker got %+v", all)
	}
	h.Try = 3
	if late, again := s.handOut(t, h); len(late) > 0 || again {
		t.Errorf("what was taken back came again: %+v, %v", late, again)
	}
}

// TestVoidTicketsHideNoJob holds that tickets of jobs that were canceled keep nothing from being claimed.
func TestVoidTicketsHideNoJob(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	for range handMost + 30 {
		n := claimable()
		mustCreate(t, s.Store, n)
		if err := s.RequestCancel(t.Context(), n.ID); err != nil {
			t.Fatal(err)
		}
	}
	last := claimable()
	mustCreate(t, s.Store, last)
	claims, _ := s.handOut(t, Hand{Worker: "w", Key: "k", Try: 1, N: 1})
	if len(claims) != 1 || claims[0].Ticket.ID != last.ID {
		t.Errorf("claimed %+v", claims)
	}
}

// TestClaimedLease holds how long a claimed run lasts: for its lease, its timeout, and after a cancel.
func TestClaimedLease(t *testing.T) {
	t.Parallel()
	overParts(t, testClaimedLease)
}

func testClaimedLease(t *testing.T, s *turned) {
	n := claimable()
	n.Timeout = 50 * time.Second
	mustCreate(t, s.Store, n)
	one := func() Claim {
		t.Helper()
		claims, _ := s.handOut(t, Hand{Worker: "w", Key: NewFence(), Try: 1, N: 1})
		if len(claims) != 1 {
			t.Fatalf("claims %+v", claims)
		}
		return claims[0]
	}
	renew := func(c Claim, by access.View) Renewed {
		t.Helper()
		got, err := s.Renew(t.Context(), by, []Renewal{{ID: n.ID, Fence: c.Fence}})
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	c := one()
	s.turn(t, 20*time.Second)
	if r := renew(c, access.View{Tenant: "other"}); !errors.Is(r.Err, ErrLost) {
		t.Errorf("another tenant renews: %+v", r)
	}
	if r := renew(c, access.Everything); r.Lease != 30*time.Second {
		t.Errorf("renewed %+v", r)
	}
	s.turn(t, 20*time.Second)
	if r := renew(c, access.Everything); r.Lease != 10*time.Second {
		t.Errorf("near its timeout: %+v", r)
	}
	s.turn(t, 12*time.Second)
	if snap := s.state(t, n.ID); snap.State == job.Running || snap.Attempt != 1 || len(snap.Errors) != 1 ||
		snap.Errors[0].Code != job.Timeout {
		t.Errorf("after its timeout: %+v", snap)
	}
	if r := renew(c, access.Everything); !errors.Is(r.Err, ErrLost) {
		t.Errorf("a run that is over: %+v", r)
	}
	s.turn(t, 3*time.Second)
	one()
	s.turn(t, 35*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Queued || snap.Attempt != 1 {
		t.Errorf("after a lease without renewal: %+v", snap)
	}
	c = one()
	if err := s.RequestCancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	s.turn(t, 10*time.Second)
	if r := renew(c, access.Everything); !errors.Is(r.Err, ErrCanceled) {
		t.Errorf("canceled: %+v", r)
	}
	if snap := s.state(t, n.ID); snap.State != job.Running {
		t.Errorf("canceled 10 s ago: %+v", snap)
	}
	s.turn(t, 8*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Canceled {
		t.Errorf("canceled 18 s ago: %+v", snap)
	}
}

// TestReleasesRest holds that what is released again and again comes less often.
func TestReleasesRest(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := claimable()
	mustCreate(t, s.Store, n)
	for i := range 9 {
		claims, _ := s.handOut(t, Hand{Worker: "w", Key: NewFence(), Try: 1, N: 1})
		if len(claims) != 1 {
			t.Fatalf("release %d: nothing to claim", i)
		}
		if _, err := s.Finish(t.Context(), n.ID, claims[0].Fence, End{Outcome: Release}); err != nil {
			t.Fatal(err)
		}
		snap := s.state(t, n.ID)
		if i < 2 && snap.State != job.Queued || i >= 2 && snap.State != job.Scheduled || snap.Attempt != 0 {
			t.Fatalf("release %d: %+v", i, snap)
		}
		if i < 2 {
			continue
		}
		wait := min(time.Second<<(i-2), time.Minute)
		if got := snap.RunAt.UnixMilli() - s.now; got != wait.Milliseconds() {
			t.Errorf("release %d rests for %d ms, want %v", i, got, wait)
		}
		s.turn(t, wait+time.Second)
	}
}

// TestSuspectIsClaimedAlone holds that a job that has ended young runs takes no others with it.
func TestSuspectIsClaimedAlone(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := claimable()
	mustCreate(t, s.Store, n)
	for range SuspectLosses {
		if claims, _ := s.handOut(t, Hand{Worker: "w", Key: NewFence(), Try: 1, N: 1}); len(claims) != 1 {
			t.Fatal("nothing to claim")
		}
		s.turn(t, 35*time.Second)
	}
	for range 3 {
		mustCreate(t, s.Store, claimable())
	}
	sizes := []int{}
	for range 2 {
		claims, _ := s.handOut(t, Hand{Worker: "w", Key: NewFence(), Try: 1, N: 9})
		sizes = append(sizes, len(claims))
		if len(claims) == 1 && claims[0].Ticket.ID != n.ID {
			t.Errorf("alone came %s", claims[0].Ticket.ID)
		}
	}
	if sizes[0] != 1 || sizes[1] != 3 {
		t.Errorf("claimed %v at a time", sizes)
	}
}

// TestNotedOutputs holds what is known of outputs before a run's end, and the bounds of them.
func TestNotedOutputs(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := claimable()
	mustCreate(t, s.Store, n)
	claims, _ := s.handOut(t, Hand{Worker: "w", Key: "k", Try: 1, N: 1})
	fence := claims[0].Fence
	note := func(fence, name, blob string, size int64) error {
		return s.NoteOutput(t.Context(), n.ID, fence, job.Output{Name: name, Blob: blob, Size: size}, 100, 2)
	}
	if err := errors.Join(note(fence, "a", "b1", 40), note(fence, "a", "b2", 41), note(fence, "b", "b3", 1)); err != nil {
		t.Fatal(err)
	}
	for err, want := range map[error]error{note(NewFence(), "a", "x", 1): ErrLost,
		note(fence, "c", "x", 1): ErrManyOutputs, note(fence, "b", "x", 60): ErrLargeOutputs} {
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	noted, err := s.Noted(t.Context(), n.ID, fence)
	if err != nil || len(noted.Outputs) != 2 || noted.Outputs["a"].Blob != "b2" || len(noted.Blobs) != 3 {
		t.Errorf("%+v, %v", noted, err)
	}
	lines := func(from int64, said ...string) {
		t.Helper()
		if err := s.SayLog(t.Context(), n.ID, fence, 1, from, said); err != nil {
			t.Fatal(err)
		}
	}
	lines(1, "one", "two")
	lines(2, "two", "three")
	lines(1, "one")
	if kept, err := s.SaidLog(t.Context(), n.ID, 1); err != nil || strings.Join(kept, " ") != "one two three" {
		t.Errorf("%q, %v", kept, err)
	}
	if noted, err = s.Noted(t.Context(), n.ID, fence); err != nil || noted.Lines != 3 {
		t.Errorf("%+v, %v", noted, err)
	}
	long := strings.Repeat("x", ClaimedLog/2)
	lines(4, long, long, long)
	if kept, err := s.SaidLog(t.Context(), n.ID, 1); err != nil || len(kept) != 2 {
		t.Errorf("%d lines are kept, %v", len(kept), err)
	}
	if _, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded, Result: json.RawMessage("1")}); err != nil {
		t.Fatal(err)
	}
	if err := s.SayLog(t.Context(), n.ID, fence, 1, 9, []string{"late"}); !errors.Is(err, ErrLost) {
		t.Errorf("a line after the end: %v", err)
	}
}
