package jobstore

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/job"
)

const hook = "https://a.example/hook?token=x"

// withCallback is simple with a callback.
func withCallback() NewJob {
	n := simple()
	n.CallbackURL = hook
	return n
}

// endedWithCallback is a job that has succeeded and whose callback is due.
func (s *turned) endedWithCallback(t *testing.T) NewJob {
	t.Helper()
	n := withCallback()
	fence := s.started(t, n)
	e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded})
	if err != nil || !e.Callback {
		t.Fatalf("finish: %+v, %v", e, err)
	}
	return n
}

func (s *turned) claims(t *testing.T, lease time.Duration) []CallbackClaim {
	t.Helper()
	s.set(t)
	claims, err := s.ClaimCallbacks(t.Context(), 10, lease)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func (s *turned) settle(t *testing.T, settlement CallbackSettlement) {
	t.Helper()
	if err := s.SettleCallbacks(t.Context(), []CallbackSettlement{settlement}); err != nil {
		t.Fatal(err)
	}
}

func (s *turned) callback(t *testing.T, id job.ID) job.Callback {
	t.Helper()
	cb, err := s.Callback(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

// TestEachEndIsDue ends jobs in each way that there is.
func TestEachEndIsDue(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *turned, NewJob) job.State{
		"succeeded": func(t *testing.T, s *turned, n NewJob) job.State {
			s.Finish(t.Context(), n.ID, s.started(t, n), End{Outcome: Succeeded})
			return job.Succeeded
		},
		"failed": func(t *testing.T, s *turned, n NewJob) job.State {
			s.Finish(t.Context(), n.ID, s.started(t, n), End{Outcome: Failed, Code: job.HandlerError,
				Message: "x"})
			return job.Failed
		},
		"last attempt": func(t *testing.T, s *turned, n NewJob) job.State {
			n.MaxAttempts = 1
			s.Finish(t.Context(), n.ID, s.started(t, n), End{Outcome: Retry, Code: job.HandlerError,
				Message: "x"})
			return job.Failed
		},
		"canceled while queued": func(t *testing.T, s *turned, n NewJob) job.State {
			mustCreate(t, s.Store, n)
			s.RequestCancel(t.Context(), n.ID)
			return job.Canceled
		},
		"canceled while running": func(t *testing.T, s *turned, n NewJob) job.State {
			s.started(t, n)
			s.RequestCancel(t.Context(), n.ID)
			s.turn(t, 5*time.Second)
			return job.Canceled
		},
		"expired at the start": func(t *testing.T, s *turned, n NewJob) job.State {
			n.ExpiresIn = time.Second
			ticket := mustCreate(t, s.Store, n)
			s.now += 2000
			s.set(t)
			s.Start(t.Context(), ticket, NewFence(), false)
			return job.Expired
		},
		"expired": func(t *testing.T, s *turned, n NewJob) job.State {
			n.ExpiresIn = time.Second
			mustCreate(t, s.Store, n)
			s.turn(t, 2*time.Second)
			return job.Expired
		},
		"upload fell silent": func(t *testing.T, s *turned, n NewJob) job.State {
			n.UploadFence = NewFence()
			mustCreate(t, s.Store, n)
			s.turn(t, 9*time.Second)
			return job.Failed
		},
		"poisoned": func(t *testing.T, s *turned, n NewJob) job.State {
			ticket := mustCreate(t, s.Store, n)
			for range poisonLosses {
				if _, err := s.Start(t.Context(), ticket, NewFence(), true); err != nil {
					t.Fatal(err)
				}
				s.turn(t, 9*time.Second)
				ticket.Delivery++
			}
			return job.Failed
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, n := turnedStore(t), withCallback()
			if want := end(t, s, n); s.state(t, n.ID).State != want {
				t.Fatalf("job is %s, want %s", s.state(t, n.ID).State, want)
			}
			want := []CallbackClaim{{ID: n.ID, URL: hook, Number: "1"}}
			if diff := cmp.Diff(want, s.claims(t, time.Minute)); diff != "" {
				t.Errorf("due (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoEndNoCallback(t *testing.T) {
	t.Parallel()
	s, n := turnedStore(t), withCallback()
	fence := s.started(t, n)
	for _, e := range []End{{Outcome: Retry, Code: job.HandlerError, Message: "x"}} {
		if ended, err := s.Finish(t.Context(), n.ID, fence, e); err != nil || ended.State != job.Retrying {
			t.Fatalf("%+v, %v", ended, err)
		}
	}
	plain := simple()
	if e, err := s.Finish(t.Context(), plain.ID, s.started(t, plain), End{Outcome: Succeeded}); err != nil ||
		e.Callback {
		t.Errorf("a job without a callback: %+v, %v", e, err)
	}
	if got := s.claims(t, time.Minute); got != nil {
		t.Errorf("due: %+v", got)
	}
	if cb := s.callback(t, n.ID); !cmp.Equal(cb, job.Callback{URL: hook, State: job.CallbackWaiting}) {
		t.Errorf("callback %+v", cb)
	}
	if _, err := s.Callback(t.Context(), plain.ID); !errors.Is(err, job.ErrNoCallback) {
		t.Errorf("callback of a job without one: %v", err)
	}
	if _, err := s.Callback(t.Context(), job.NewID(time.Now())); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("callback of no job: %v", err)
	}
}

// TestClaimHidesForItsLease also has the first claim settled late: by then it
// counts no more.
func TestClaimHidesForItsLease(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := s.endedWithCallback(t)
	first := s.claims(t, time.Minute)
	if len(first) != 1 || len(s.claims(t, time.Minute)) != 0 {
		t.Fatalf("claimed %+v", first)
	}
	s.now += 61_000
	second := s.claims(t, time.Minute)
	if len(second) != 1 {
		t.Fatal("not due again when the lease had ended")
	}
	s.settle(t, CallbackSettlement{Claim: first[0], Outcome: CallbackFailed, Status: 410, Code: "gone"})
	if cb := s.callback(t, n.ID); cb.State != job.CallbackPending || cb.Attempts != 0 {
		t.Errorf("after a late settlement: %+v", cb)
	}
	for range 2 {
		s.settle(t, CallbackSettlement{Claim: second[0], Outcome: CallbackRetry, Delay: time.Minute,
			Status: 500, Code: "http_status"})
	}
	at, next := time.UnixMilli(s.now).UTC(), time.UnixMilli(s.now).Add(time.Minute).UTC()
	want := job.Callback{URL: hook, State: job.CallbackPending, Attempts: 1, LastStatus: 500,
		LastError: "http_status", LastAttemptAt: &at, NextAttemptAt: &next}
	if diff := cmp.Diff(want, withoutTries(s.callback(t, n.ID))); diff != "" {
		t.Errorf("after a retry (-want +got):\n%s", diff)
	}
	s.now += 59_000
	if got := s.claims(t, time.Minute); got != nil {
		t.Errorf("due before its time: %+v", got)
	}
	s.now += 1000
	third := s.claims(t, time.Minute)
	if len(third) != 1 || third[0].Attempts != 1 {
		t.Fatalf("third claim %+v", third)
	}
	s.settle(t, CallbackSettlement{Claim: third[0], Outcome: CallbackRelease})
	if cb := s.callback(t, n.ID); cb.Attempts != 1 {
		t.Errorf("a release counts: %+v", cb)
	}
	fourth := s.claims(t, time.Minute)
	s.settle(t, CallbackSettlement{Claim: fourth[0], Outcome: CallbackDelivered, Status: 204})
	over := time.UnixMilli(s.now).UTC()
	want = job.Callback{URL: hook, State: job.CallbackDelivered, Attempts: 2, LastStatus: 204,
		LastAttemptAt: &over, DeliveredAt: &over}
	if diff := cmp.Diff(want, withoutTries(s.callback(t, n.ID))); diff != "" {
		t.Errorf("after delivery (-want +got):\n%s", diff)
	}
	s.now += 3_600_000
	if got := s.claims(t, time.Minute); got != nil {
		t.Errorf("due after its delivery: %+v", got)
	}
	if snap := s.state(t, n.ID); snap.Rev != 3 {
		t.Errorf("a delivery moves the job: %+v", snap)
	}
}

func TestClaimLimit(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	for range 30 {
		s.endedWithCallback(t)
	}
	seen := map[job.ID]bool{}
	for _, want := range []int{10, 10, 10, 0} {
		got := s.claims(t, time.Minute)
		if len(got) != want {
			t.Fatalf("%d claims, want %d", len(got), want)
		}
		for _, c := range got {
			seen[c.ID] = true
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 jobs", len(seen))
	}
}

// TestRetentionWaitsForDelivery holds that an undelivered callback keeps its
// record, though not for ever, and that nothing stays of either.
func TestRetentionWaitsForDelivery(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(*turned, CallbackClaim){
		"delivered": func(s *turned, c CallbackClaim) {
			s.settle(t, CallbackSettlement{Claim: c, Outcome: CallbackDelivered})
		},
		"given up": func(s *turned, c CallbackClaim) {
			s.settle(t, CallbackSettlement{Claim: c, Outcome: CallbackFailed})
		},
		"never": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			n := s.endedWithCallback(t)
			c := s.claims(t, time.Minute)[0]
			if swept := s.turn(t, time.Second); swept.Removed != 0 {
				t.Fatal("removed before its retention")
			}
			s.now += n.Retention.Milliseconds()
			if swept := s.turn(t, time.Second); swept.Removed != 0 {
				t.Fatal("removed with its callback open")
			}
			if settle != nil {
				settle(s, c)
				s.now += pushMS
			} else {
				s.now += callbackHold - 5000
				if swept := s.turn(t, time.Second); swept.Removed != 0 {
					t.Fatal("removed too early")
				}
				s.now += pushMS
			}
			if swept := s.turn(t, time.Second); swept.Removed != 1 {
				t.Fatalf("swept %+v, want one removed", swept)
			}
			s.empty(t)
		})
	}
}

func TestRemoveDropsTheCallback(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := s.endedWithCallback(t)
	c := s.claims(t, time.Minute)[0]
	if err := s.Remove(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	s.settle(t, CallbackSettlement{Claim: c, Outcome: CallbackRetry, Delay: time.Second})
	s.now += 120_000
	if got := s.claims(t, time.Minute); got != nil {
		t.Errorf("due without a job: %+v", got)
	}
	s.empty(t)
}

// empty holds that no job's keys are left.
func (s *turned) empty(t *testing.T) {
	t.Helper()
	for _, base := range s.bases {
		for _, key := range s.keys(t.Context(), strings.NewReplacer("{", `\{`, "}", `\}`).Replace(base)+"*") {
			if !slices.Contains([]string{"sweep", "n", "heads", "last", "clock"}, key[len(base):]) &&
				!strings.HasPrefix(key[len(base):], "end") {
				t.Errorf("left over: %s", key)
			}
		}
	}
}

// TestDamagedCallback spoils the hash of one callback: the other is claimed all the same.
func TestDamagedCallback(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	bad, good := s.endedWithCallback(t), s.endedWithCallback(t)
	key := s.base(bad.ID) + "w:" + bad.ID.Raw()
	s.rdb.Del(t.Context(), key)
	s.rdb.Set(t.Context(), key, "junk", 0)
	if got := s.claims(t, time.Minute); len(got) != 1 || got[0].ID != good.ID {
		t.Errorf("claimed %+v", got)
	}
	if _, err := s.Callback(t.Context(), bad.ID); !errors.Is(err, job.ErrDamaged) {
		t.Errorf("damaged callback: %v", err)
	}
}

// TestResend sends a callback once more, delivered or given up, with a new count of attempts; and tells of
// each try.
func TestResend(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	resend := func(id job.ID, want error) {
		t.Helper()
		if _, err := s.Views().Resend(t.Context(), access.Everything, id, "me"); !errors.Is(err, want) {
			t.Errorf("resend: %v, want %v", err, want)
		}
	}
	none, open, n := simple(), withCallback(), s.endedWithCallback(t)
	mustCreate(t, s.Store, none)
	mustCreate(t, s.Store, open)
	resend(none.ID, job.ErrNoCallback)
	resend(open.ID, job.ErrNotEnded)
	resend(job.NewID(time.Now()), job.ErrNotFound)
	deliver := func(attempts int, outcome CallbackOutcome) {
		t.Helper()
		claims := s.claims(t, time.Minute)
		if len(claims) != 1 || claims[0].Attempts != attempts {
			t.Fatalf("%+v, want one after %d attempts", claims, attempts)
		}
		s.settle(t, CallbackSettlement{Claim: claims[0], Outcome: outcome, Delay: time.Hour, Status: 500,
			Code: "http_status", Answer: "no room, come again"})
	}
	deliver(0, CallbackRetry)
	resend(n.ID, nil) // it waits for an hour no more
	deliver(1, CallbackFailed)
	resend(n.ID, nil)
	resend(n.ID, nil) // it is due already
	if cb := s.callback(t, n.ID); cb.State != job.CallbackPending || cb.GaveUpAt != nil {
		t.Errorf("%+v", cb)
	}
	for i := range maxTries {
		deliver(i, CallbackRetry)
		resend(n.ID, nil)
	}
	deliver(maxTries, CallbackDelivered)
	cb := s.callback(t, n.ID)
	if cb.State != job.CallbackDelivered || cb.Attempts != maxTries+3 || len(cb.Tries) != maxTries {
		t.Fatalf("%+v", cb)
	}
	last := cb.Tries[maxTries-1]
	if last.Attempt != cb.Attempts || last.Status != 500 || last.Error != "http_status" ||
		last.Answer != "no room, come again" || last.At.UnixMilli() != s.now {
		t.Errorf("%+v", last)
	}
	for range 2 {
		errs, err := s.ResendMany(t.Context(), []job.ID{n.ID, none.ID}, "op:1", job.Filter{State: job.Succeeded})
		if err != nil || errs[0] != nil || !errors.Is(errs[1], ErrMoved) {
			t.Errorf("%v, %v", errs, err)
		}
	}
	deliver(0, CallbackDelivered) // a new count
}

// withoutTries is how a delivery goes, apart from its single tries.
func withoutTries(cb job.Callback) job.Callback {
	cb.Tries = nil
	return cb
}
