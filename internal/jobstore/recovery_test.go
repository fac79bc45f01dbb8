package jobstore

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"longshore/job"
)

// stand lets Redis stand still: TIME goes on and nobody sweeps.
func (s *turned) stand(t *testing.T, d time.Duration) {
	t.Helper()
	s.now += d.Milliseconds()
	s.set(t)
}

// TestStallsDontStopRecovery has Redis stand still for 1.3 s every 5 s, and for
// worse: a lease that nobody renews ends all the same, and a cancel is kept.
func TestStallsDontStopRecovery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		still, between time.Duration
		most, cancel   time.Duration // until it runs again, until it is canceled
	}{
		"never": {0, 5 * time.Second, 8500 * time.Millisecond, 5 * time.Second},
		"1.3 s in 5 s": {1300 * time.Millisecond, 3700 * time.Millisecond, 12 * time.Second,
			6300 * time.Millisecond},
		"1.3 s in 1.8 s": {1300 * time.Millisecond, 500 * time.Millisecond, 18 * time.Second,
			10 * time.Second},
		"every gap is as long": {1100 * time.Millisecond, 0, 18 * time.Second, 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			n, canceled := simple(), simple()
			s.started(t, n)
			s.started(t, canceled)
			if err := s.RequestCancel(t.Context(), canceled.ID); err != nil {
				t.Fatal(err)
			}
			begin := s.now
			var again, ended time.Duration
			for s.now-begin < 30_000 && (again == 0 || ended == 0) {
				if c.still > 0 {
					s.stand(t, c.still) // and a sweep that waits is the first to be answered
				}
				for left := c.between; ; left -= 250 * time.Millisecond {
					if left < c.between || c.still == 0 {
						s.now += min(left, 250*time.Millisecond).Milliseconds()
					}
					s.turn(t, 0)
					since := time.Duration(s.now-begin) * time.Millisecond
					if s.state(t, n.ID).State == job.Queued && again == 0 {
						again = since
					}
					if s.state(t, canceled.ID).State == job.Canceled && ended == 0 {
						ended = since
					}
					if left <= 250*time.Millisecond {
						break
					}
				}
			}
			if again == 0 || again > c.most || again < 8*time.Second || ended == 0 || ended > c.cancel {
				t.Errorf("queued again after %v, canceled after %v", again, ended)
			}
		})
	}
}

// TestStallGivesBackItsTime holds what one long gap does to leases: a worker that
// could not renew loses nothing, whichever way TIME went.
func TestStallGivesBackItsTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ gap, before, left time.Duration }{
		"stall":            {30 * time.Second, 3 * time.Second, 4500 * time.Millisecond},
		"forward":          {time.Hour, 0, 7500 * time.Millisecond},
		"back":             {-time.Hour, 3 * time.Second, 8 * time.Second},
		"back a little":    {-1500 * time.Millisecond, 3 * time.Second, 6500 * time.Millisecond},
		"shorter than 1 s": {900 * time.Millisecond, 3 * time.Second, 4100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			n := simple()
			s.started(t, n)
			s.turn(t, c.before)
			s.stand(t, c.gap)
			s.turn(t, 0)
			ends := s.rdb.ZScore(t.Context(), s.base(n.ID)+"lease", n.ID.Raw()).Val()
			if left := time.Duration(int64(ends)-s.now) * time.Millisecond; left != c.left {
				t.Errorf("%v are left of the lease, want %v", left, c.left)
			}
		})
	}
}

// TestCapStaysACap has a cancel come in between a stall and the sweep after it.
func TestCapStaysACap(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	s.started(t, n)
	s.stand(t, 30*time.Second)
	if err := s.RequestCancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	s.turn(t, 0)
	s.turn(t, 5*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Canceled {
		t.Errorf("5 s after the cancel the job is %s", snap.State)
	}
}

// lose runs a job for so long, renewing its lease, and then lets its worker die.
func (s *turned) lose(t *testing.T, ticket job.Ticket, runs time.Duration) {
	t.Helper()
	fence := NewFence()
	if _, err := s.Start(t.Context(), ticket, fence, true); err != nil {
		t.Fatal(err)
	}
	for ; runs > 0; runs -= 2 * time.Second {
		s.turn(t, min(runs, 2*time.Second))
		if _, err := s.Beats(t.Context(), []Beat{{ID: ticket.ID, Fence: fence, Renew: true}}); err != nil {
			t.Fatal(err)
		}
	}
	s.turn(t, 8500*time.Millisecond)
}

// TestOldLosses follows a job whose workers die each time it has run for a
// minute and more: nobody blames it, but at last it waits, ever longer.
func TestOldLosses(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	ticket := mustCreate(t, s.Store, n)
	for range poisonLosses - 1 { // young losses before count no more
		s.lose(t, ticket, 2*time.Second)
		ticket = s.pop(t)
	}
	for loss := 1; loss <= 15; loss++ {
		s.lose(t, ticket, 62*time.Second)
		r, err := s.Read(t.Context(), n.ID)
		if err != nil || r.Losses != 0 {
			t.Fatalf("loss %d: %+v, %v", loss, r, err)
		}
		want := time.Duration(0)
		if loss >= patientLosses {
			want = min(restMS*time.Millisecond<<(loss-patientLosses), restMaxMS*time.Millisecond)
		}
		switch state := r.Snapshot.State; {
		case want == 0 && state != job.Queued:
			t.Fatalf("loss %d: %s", loss, state)
		case want > 0:
			wait := time.Duration(r.Snapshot.RunAt.UnixMilli()-s.now) * time.Millisecond
			if state != job.Scheduled || wait > want || wait < want-time.Second {
				t.Fatalf("loss %d: %s for %v, want %v", loss, state, wait, want)
			}
			s.turn(t, want)
		}
		ticket = s.pop(t)
	}
	fence := NewFence()
	if _, err := s.Start(t.Context(), ticket, fence, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Retry, Code: job.HandlerError,
		Message: "no"}); err != nil {
		t.Fatal(err)
	}
	s.turn(t, time.Second)
	s.lose(t, s.pop(t), 62*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Queued {
		t.Errorf("after an attempt of its own that failed, and one loss: %s", snap.State)
	}
}

func (s *turned) pop(t *testing.T) job.Ticket {
	t.Helper()
	ticket, ok := s.queue.pop()
	if !ok {
		t.Fatal("no ticket")
	}
	return ticket
}

// TestSuspectsGoFirst holds that a suspect that had to wait for room isn't put
// behind all others each time.
func TestSuspectsGoFirst(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := first()
	ticket := mustCreate(t, s.Store, n)
	for range suspectLosses {
		s.lose(t, ticket, 0)
		ticket = s.pop(t)
	}
	if _, err := s.Start(t.Context(), ticket, NewFence(), false); !errors.Is(err, ErrSuspect) {
		t.Fatal(err)
	}
	if err := s.Postpone(t.Context(), ticket, time.Second); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s.Store, first())
	s.turn(t, 2*time.Second)
	if first := s.pop(t); first.ID != n.ID {
		t.Errorf("%s comes first", first.ID)
	}
}

// TestShares holds who may run beside whom.
func TestShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slots int
		runs  []int // losses of those that run
		most  int
	}{
		{16, nil, poisonLosses},
		{16, []int{2, 2}, 3},
		{16, []int{2, 2, 2, 2, 2}, 2},
		{16, []int{2, 2, 2, 2, 2, 2, 2, 2}, 0},
		{16, []int{3}, 3},
		{16, []int{3, 3}, 0},
		{16, []int{4}, 0},
		{4, []int{2}, 2},
		{4, []int{2, 2}, 0},
		{2, []int{2}, 0},
		{1, nil, poisonLosses},
		{1, []int{2}, 0},
		{0, nil, poisonLosses},
	} {
		s := NewSuspects(c.slots)
		var leaves []func()
		for _, losses := range c.runs {
			leaves = append(leaves, s.Add(losses))
		}
		if got := s.Most(); got != c.most {
			t.Errorf("%d slots, %v run: %d, want %d", c.slots, c.runs, got, c.most)
		}
		for _, leave := range leaves {
			leave()
			leave()
		}
		if got := s.Most(); got != poisonLosses {
			t.Errorf("%d slots, all have left: %d", c.slots, got)
		}
	}
}

// TestCallbacksWhenTimeGoesBack holds that a callback waits for what it waited for,
// and not for the time that Redis's clock lost too.
func TestCallbacksWhenTimeGoesBack(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	ids := map[string]job.ID{}
	claims := map[string]CallbackClaim{}
	for _, name := range []string{"claimed", "to be retried", "given back"} {
		n := simple()
		n.CallbackURL = "https://receiver.example/"
		mustCreate(t, s.Store, n)
		if _, err := s.Cancel(t.Context(), n.ID); err != nil {
			t.Fatal(err)
		}
		list, err := s.ClaimCallbacks(t.Context(), 9, 40*time.Second)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		ids[name], claims[name] = n.ID, list[0]
	}
	n := simple()
	n.CallbackURL = "https://receiver.example/"
	mustCreate(t, s.Store, n)
	if _, err := s.Cancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	ids["new"] = n.ID
	if err := s.SettleCallbacks(t.Context(), []CallbackSettlement{
		{Claim: claims["to be retried"], Outcome: CallbackRetry, Delay: 54 * time.Second, Code: "timeout"},
		{Claim: claims["given back"], Outcome: CallbackRelease, Delay: 2 * time.Second},
	}); err != nil {
		t.Fatal(err)
	}
	s.stand(t, -time.Hour)
	for range 3 {
		s.turn(t, 500*time.Millisecond)
	}
	for name, most := range map[string]time.Duration{"new": 0, "given back": 2 * time.Second,
		"claimed": 40 * time.Second, "to be retried": 54 * time.Second} {
		score := s.rdb.ZScore(t.Context(), s.base(ids[name])+"owes:webhook", ids[name].Raw()).Val()
		if wait := time.Duration(int64(score)-s.now) * time.Millisecond; wait > most {
			t.Errorf("%s waits %v, want at most %v", name, wait, most)
		}
	}
	for k := range s.bases {
		if s.rdb.Exists(t.Context(), s.bases[k]+"rewind:owes:webhook", s.bases[k]+"rewind:when").Val() != 0 {
			t.Errorf("shard %s is still rewound", strconv.Itoa(k))
		}
	}
}

// TestHoldCallbacks holds that a claim that nobody knows of is due again soon, one
// that is kept is not, and that only the one who holds it can keep it.
func TestHoldCallbacks(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.CallbackURL = "https://receiver.example/"
	mustCreate(t, s.Store, n)
	if _, err := s.Cancel(t.Context(), n.ID); err != nil {
		t.Fatal(err)
	}
	claim := func() []CallbackClaim {
		t.Helper()
		list, err := s.ClaimCallbacks(t.Context(), 9, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	hold := func(list []CallbackClaim) {
		t.Helper()
		if err := s.HoldCallbacks(t.Context(), list, 40*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	lost := claim()
	s.turn(t, 6*time.Second)
	known := claim()
	if len(lost) != 1 || len(known) != 1 {
		t.Fatalf("claimed %v, then %v", lost, known)
	}
	hold(lost) // void: it must not lengthen the other one's
	s.turn(t, 6*time.Second)
	known = claim()
	if len(known) != 1 {
		t.Fatal("a void claim was kept")
	}
	hold(known)
	s.turn(t, 39*time.Second)
	if list := claim(); len(list) != 0 {
		t.Fatalf("a claim that is kept was given to another one: %v", list)
	}
	if err := s.SettleCallbacks(t.Context(),
		[]CallbackSettlement{{Claim: known[0], Outcome: CallbackDelivered, Status: 200}}); err != nil {
		t.Fatal(err)
	}
	hold(known)
	s.turn(t, time.Minute)
	if list := claim(); len(list) != 0 {
		t.Fatalf("what was delivered is due again: %v", list)
	}
}
