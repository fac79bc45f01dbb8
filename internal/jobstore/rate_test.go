package jobstore

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// startsOver turns the clock on, step by step, has a worker start and end what it can, and tells when each
// job began, in ms from now.
func (s *turned) startsOver(t *testing.T, n NewJob, d, step time.Duration, e End) (began []int64,
	ids []job.ID) {
	t.Helper()
	from := s.now
	for s.now < from+d.Milliseconds() {
		got, fences := s.takes(t, n, 100)
		for i, id := range got {
			began, ids = append(began, s.now-from), append(ids, id)
			s.finish(t, id, fences[i], e)
		}
		s.now += step.Milliseconds()
		s.set(t)
		if _, err := s.pace(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return began, ids
}

// TestRate lets three start at once and then one each two seconds, in their order, beside another key's; the
// tokens that nobody took are no more than three.
func TestRate(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		rate := Slots{Limit: "t/rate", Gap: 2 * time.Second, Burst: 3}
		s.limits(t, 1, rate)
		first := limited("", rate.Class("a"))
		jobs := []NewJob{first}
		for range 7 {
			jobs = append(jobs, limited(first.ID, rate.Class("a")))
		}
		other := limited(first.ID, rate.Class("b"))
		for _, n := range append(slices.Clone(jobs), other) {
			mustCreate(t, s.Store, n)
		}
		line, err := s.LineOf(t.Context(), jobs[7].ID)
		if snap := s.state(t, jobs[7].ID); err != nil || snap.Limit != "rate" || line.Waiting != 5 ||
			line.Next != nil {
			t.Errorf("the last waits for %q, in %+v, %v", snap.Limit, line, err) // nobody has started yet
		}
		// A worker that was away for long finds three, not as many as could have started.
		s.turn(t, time.Minute)
		began, ids := s.startsOver(t, first, 20*time.Second, 100*time.Millisecond, End{Outcome: Succeeded})
		if want := []int64{0, 0, 0, 0, 2000, 4000, 6000, 8000, 10000}; !slices.Equal(began, want) {
			t.Errorf("began at %v, not %v", began, want)
		}
		want := append(append(idsOf(jobs[:3]), other.ID), idsOf(jobs[3:])...)
		if !slices.Equal(ids, want) {
			t.Errorf("in the order %v", ids)
		}
		if left := s.rdb.ZCard(t.Context(), s.base(first.ID)+"later").Val(); left != 0 {
			t.Errorf("%d classes wait for a token", left)
		}
	})
}

// TestRateChanges raises, lowers and removes a rate while jobs wait, and sets the clock back: each holds at
// once.
func TestRateChanges(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		rate := func(gap time.Duration, burst int64) Slots {
			return Slots{Limit: "t/rate", Gap: gap, Burst: burst}
		}
		class := rate(time.Hour, 1).Class("-")
		s.limits(t, 1, rate(time.Hour, 1))
		first := limited("", class)
		jobs := []NewJob{first}
		for range 40 {
			jobs = append(jobs, limited(first.ID, class))
		}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		starts := func(what string, d time.Duration, want ...int64) {
			t.Helper()
			began, _ := s.startsOver(t, first, d, 100*time.Millisecond, End{Outcome: Succeeded})
			if !slices.Equal(began, want) {
				t.Errorf("%s: began at %v, not %v", what, began, want)
			}
		}
		starts("once an hour", 3*time.Second, 0)
		if line, err := s.LineOf(t.Context(), jobs[1].ID); err != nil || line.Next == nil ||
			line.Next.UnixMilli() != s.now+3_597_000 {
			t.Errorf("the next one comes at %v, %v", line.Next, err)
		}
		s.limits(t, 2, rate(time.Second, 1))
		s.turn(t, time.Second)
		starts("raised to once a second", 3*time.Second, 500, 1500, 2500) // a second after a sweep saw it
		s.now -= (10 * time.Minute).Milliseconds()
		s.turn(t, 0)
		began, _ := s.startsOver(t, first, 4*time.Second, 100*time.Millisecond, End{Outcome: Succeeded})
		if len(began) < 3 || began[0] > 1000 {
			t.Errorf("the clock was set back: began at %v", began)
		}
		s.limits(t, 3, rate(time.Minute, 1))
		s.turn(t, time.Second)
		began, _ = s.startsOver(t, first, 2*time.Minute, time.Second, End{Outcome: Succeeded})
		if len(began) != 2 {
			t.Errorf("lowered to once a minute: began at %v", began)
		}
		s.limits(t, 4)
		s.turn(t, time.Second)
		if ids, _ := s.takes(t, first, 100); len(ids) < 20 {
			t.Errorf("without a limit %d start", len(ids))
		}
	})
}

// TestRateOfRetries counts each run: a job that fails again and again takes a token for each of them; so
// does one whose worker died, and one that was canceled before it began takes none.
func TestRateOfRetries(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		rate, wide := Slots{Limit: "t/rate", Gap: 10 * time.Second, Burst: 1}, Slots{Limit: "t/rate", Most: 1}
		s.limits(t, 1, wide, rate)
		first := limited("", wide.Class("-"), rate.Class("-"))
		first.MaxAttempts = 3
		mustCreate(t, s.Store, first)
		began, _ := s.startsOver(t, first, time.Minute, 500*time.Millisecond,
			End{Outcome: Retry, Code: job.HandlerError, Delay: time.Millisecond})
		if len(began) != 1 { // nobody sweeps: it stays what it was put off to
			t.Fatalf("began at %v", began)
		}
		s.turn(t, time.Second)
		if began, _ = s.startsOver(t, first, time.Second, 500*time.Millisecond,
			End{Outcome: Retry, Code: job.HandlerError, Delay: time.Millisecond}); len(began) != 1 {
			t.Fatalf("the second began at %v", began)
		}
		s.turn(t, time.Second)
		if ids, _ := s.takes(t, first, 1); len(ids) != 0 {
			t.Fatal("the third has no token")
		}
		s.turn(t, 9*time.Second)
		if ids, _ := s.takes(t, first, 1); len(ids) != 1 {
			t.Fatal("the third doesn't begin")
		}
		s.turn(t, 11*time.Second) // its worker is dead
		ids, fences := s.takes(t, first, 1)
		if len(ids) != 1 {
			t.Fatal("after its worker died it doesn't begin")
		}
		second, third := limited(first.ID, first.Limits...), limited(first.ID, first.Limits...)
		mustCreate(t, s.Store, second)
		mustCreate(t, s.Store, third)
		s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		s.turn(t, 11*time.Second) // the second has a token
		if _, err := s.Cancel(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		if ids, _ := s.takes(t, first, 1); !slices.Equal(ids, []job.ID{third.ID}) {
			t.Errorf("%v starts, not the third", ids)
		}
	})
}

// TestTwoRates has jobs of a slow key beside many of a quick one, under one rate for all: the slow ones'
// waiting keeps no token of all from the others.
func TestTwoRates(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		all := Slots{Limit: "t/all", Gap: time.Second, Burst: 1}
		key := Slots{Limit: "t/key", Gap: time.Minute, Burst: 1}
		s.limits(t, 1, all, key)
		first := limited("", all.Class("-"), key.Class("slow"))
		jobs := []NewJob{first}
		for range 5 {
			jobs = append(jobs, limited(first.ID, first.Limits...))
		}
		for range 20 {
			jobs = append(jobs, limited(first.ID, all.Class("-")))
		}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		began, _ := s.startsOver(t, first, 21*time.Second, 100*time.Millisecond, End{Outcome: Succeeded})
		if len(began) != 21 || began[20] != 20_000 {
			t.Errorf("began at %v", began)
		}
	})
}

// TestPacer wakes in time for a token of a rate, by Redis' own clock and its messages alone: no sweep runs.
func TestPacer(t *testing.T) {
	t.Parallel()
	s := storeOf(t, Config{Prefix: redistest.Prefix(t)})
	rate := Slots{Limit: "t/rate", Gap: 100 * time.Millisecond, Burst: 1}
	if err := s.SetSlots(t.Context(), 1, []Slots{rate}); err != nil {
		t.Fatal(err)
	}
	p := NewPacer(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	defer func() { cancel(); <-done }()
	listening, rung := make(chan struct{}, 10), make(chan struct{}, 100)
	go func() {
		_ = Subscribe(ctx, s.rdb, []string{s.prefix + ":ring"}, func(_, text string) {
			p.Notify(text)
			rung <- struct{}{}
		},
			func() { listening <- struct{}{} })
	}()
	<-listening
	first := limited("", rate.Class("-"))
	for i := range 5 {
		n := limited(first.ID, rate.Class("-"))
		if i == 0 {
			n = first
		}
		mustCreate(t, s, n)
	}
	c := s.NewClaimer([]string{first.Type})
	var began []time.Time
	for deadline := time.Now().Add(time.Minute); len(began) < 5 && time.Now().Before(deadline); {
		claims, _, err := c.Claim(t.Context(), first.Place(), s.part(first.ID), 10)
		if err != nil {
			t.Fatal(err)
		}
		for range claims {
			began = append(began, time.Now())
		}
		if len(began) == 5 {
			break
		}
		select {
		case <-rung:
		case <-time.After(time.Minute):
		}
	}
	if len(began) < 5 {
		t.Fatalf("only %d began", len(began))
	}
	took := began[4].Sub(began[0])
	if took < 4*rate.Gap-20*time.Millisecond {
		t.Errorf("five began within %v", took)
	}
	t.Logf("four gaps took %v", took)
}
