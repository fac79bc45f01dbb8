package jobstore

import (
	"errors"
	"testing"
	"time"

	"longshore/job"
)

// TestDamagedRecords spoils records in all ways: none of them runs, each is named, and
// none is in the way of a good one.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	ctx := t.Context()
	ids := map[string]job.ID{}
	for name, damage := range map[string]func(key string) error{
		"cut short":      func(key string) error { return s.rdb.Set(ctx, key, "\x03q12345", 0).Err() },
		"empty":          func(key string) error { return s.rdb.Set(ctx, key, "", 0).Err() },
		"less than said": func(key string) error { return s.rdb.SetRange(ctx, key, 18, "\x01").Err() },
		"unknown letter": func(key string) error { return s.rdb.SetRange(ctx, key, 1, "d").Err() },
		"unknown flag":   func(key string) error { return s.rdb.SetRange(ctx, key, 20, "\x80").Err() },
		"unknown head":   func(key string) error { return s.rdb.SetRange(ctx, key, 2, "12345678").Err() },
		"older":          func(key string) error { return s.rdb.SetRange(ctx, key, 0, "\x02").Err() },
		"wrong type": func(key string) error {
			return errors.Join(s.rdb.Del(ctx, key).Err(), s.rdb.LPush(ctx, key, "x").Err())
		},
		"from future": func(key string) error { return s.rdb.SetRange(ctx, key, 0, "\x04").Err() },
	} {
		n := first()
		ids[name] = n.ID
		mustCreate(t, s.Store, n)
		if err := damage(s.key(n.ID)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, n.ID); !errors.Is(err, job.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Finish(ctx, n.ID, NewFence(), End{Outcome: Succeeded}); !errors.Is(err,
			job.ErrDamaged) {
			t.Errorf("%s: finish: %v", name, err)
		}
		if revs, err := s.Revs(ctx, []job.ID{n.ID}); err != nil || !revs[0].Missing &&
			name != "less than said" && name != "unknown head" {
			t.Errorf("%s: %+v, %v", name, revs, err)
		}
	}
	good := first()
	mustCreate(t, s.Store, good)
	claimer := s.NewClaimer([]string{"test.job"})
	claims, _, err := claimer.Claim(ctx, job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 20)
	if err != nil || len(claims) != 1 || claims[0].Ticket.ID != good.ID {
		t.Errorf("claimed %+v, %v", claims, err)
	}
	if n, err := s.Quarantined(ctx); err != nil || n != 8 {
		t.Errorf("quarantined %d, %v", n, err)
	}
	s.turn(t, time.Minute)
	future := ids["from future"]
	if score, err := s.rdb.ZScore(ctx, s.base(future)+"when", future.Raw()).Result(); err != nil ||
		int64(score) < s.now {
		t.Errorf("record of a future version: next look %v, %v", score, err)
	}
	if page, err := s.List(ctx, job.Filter{}); err != nil || len(page.Jobs) != 1 {
		t.Errorf("list: %d jobs, %v", len(page.Jobs), err)
	}
}

// TestFutureRecordGetsItsTicket has a process of today find what a newer one made, and
// the newer one find it afterwards.
func TestFutureRecordGetsItsTicket(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := first()
	mustCreate(t, s.Store, n)
	s.rdb.SetRange(t.Context(), s.key(n.ID), 0, "\x04")
	claimer := s.NewClaimer([]string{"test.job"})
	if claims, _, err := claimer.Claim(t.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 20); err != nil ||
		len(claims) != 0 {
		t.Fatalf("claimed %+v, %v", claims, err)
	}
	s.turn(t, 2*time.Minute)
	s.rdb.SetRange(t.Context(), s.key(n.ID), 0, "\x03")
	s.turn(t, 2*time.Minute)
	if claims, _, err := claimer.Claim(t.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 20); err != nil ||
		len(claims) != 1 {
		t.Errorf("claimed %+v, %v", claims, err)
	}
}
