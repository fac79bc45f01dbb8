package jobstore

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// lifeStore is a store whose meta can be turned: the script goes by Redis's own clock.
func lifeStore(t *testing.T) *Store {
	t.Helper()
	s := storeOf(t, Config{Prefix: redistest.Prefix(t)})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) vouched(t *testing.T, kept Life) Vouched {
	t.Helper()
	v, err := s.Vouch(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// age makes the last mark, and the last look of those who came late, older.
func (s *Store) age(t *testing.T, by time.Duration, fields ...string) {
	t.Helper()
	for _, field := range fields {
		at, err := s.rdb.HGet(t.Context(), s.metaKey(), field).Int64()
		if err != nil {
			t.Fatal(err)
		}
		s.rdb.HSet(t.Context(), s.metaKey(), field, at-by.Milliseconds())
	}
}

func (s *Store) mark(t *testing.T) int64 {
	t.Helper()
	n, _ := s.rdb.HGet(t.Context(), s.metaKey(), "mark").Int64()
	return n
}

// TestMarkRises holds when it does: each markEvery, whichever way the clock was set, and after a while in
// which nobody looked only once all had their turn.
func TestMarkRises(t *testing.T) {
	t.Parallel()
	s := lifeStore(t)
	first := s.vouched(t, Life{})
	if !first.Keep || first.Life.Epoch == "" || first.Life.Mark != 0 || first.Loss.Is() {
		t.Fatalf("a fresh installation: %+v", first)
	}
	again := s.vouched(t, first.Life)
	if again.Keep || again.Life != first.Life || s.mark(t) != 1 {
		t.Errorf("at once again: %+v, mark %d", again, s.mark(t))
	}
	s.age(t, markEvery, "marked")
	if v := s.vouched(t, again.Life); v.Life.Mark != 1 || v.Keep {
		t.Errorf("after markEvery: %+v", v)
	}
	s.age(t, -markEvery-time.Second, "marked") // the clock was set back
	if v := s.vouched(t, again.Life); v.Life.Mark != 2 {
		t.Errorf("with the clock set back: %+v", v)
	}
	s.age(t, keepEvery, "kept")
	if v := s.vouched(t, Life{again.Life.Epoch, 1}); !v.Keep {
		t.Errorf("after keepEvery: %+v", v)
	}
	s.age(t, time.Hour, "marked")
	s.vouched(t, again.Life)
	if s.vouched(t, again.Life); s.mark(t) != 3 {
		t.Errorf("an hour later it rises at once, to %d", s.mark(t))
	}
	s.age(t, markEvery, "resumed")
	if s.vouched(t, again.Life); s.mark(t) != 4 {
		t.Errorf("once all had their turn it stays at %d", s.mark(t))
	}
}

// TestLossIsNoted holds what a loss is, what is asked about then and what rises: nothing.
func TestLossIsNoted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kept func(now Life) Life
		lost bool
		from bool // it has a beginning
	}{
		"the same":      {func(now Life) Life { return now }, false, false},
		"nothing kept":  {func(Life) Life { return Life{} }, false, false},
		"a lower mark":  {func(now Life) Life { return Life{now.Epoch, now.Mark - 1} }, false, false},
		"a second lost": {func(now Life) Life { return Life{now.Epoch, now.Mark + 1} }, false, false},
		"older":         {func(now Life) Life { return Life{now.Epoch, now.Mark + 2} }, true, true},
		"emptied":       {func(Life) Life { return Life{"another", 3} }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lifeStore(t)
			kept := c.kept(s.vouched(t, Life{}).Life)
			mark := s.mark(t)
			s.age(t, markEvery, "marked")
			v := s.vouched(t, kept)
			if v.Loss.Is() != c.lost || v.Loss.From.IsZero() == c.from {
				t.Fatalf("it is %+v", v)
			}
			old, strange := job.NewID(time.Now()), job.NewID(time.Now().Add(-48*time.Hour))
			_, errOld := s.Get(t.Context(), old)
			_, errStrange := s.Get(t.Context(), strange)
			_, err := s.Get(t.Context(), job.NewID(time.Now().Add(time.Hour)))
			if errors.Is(errOld, job.ErrStoreReset) != c.lost ||
				errors.Is(errStrange, job.ErrStoreReset) != (c.lost && !c.from) ||
				!errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrStoreReset) {
				t.Errorf("ids from before, long before and after: %v, %v, %v", errOld, errStrange, err)
			}
			if !c.lost {
				return
			}
			s.age(t, time.Hour, "marked", "kept")
			if again := s.vouched(t, kept); again.Keep || again.Loss != v.Loss || s.mark(t) != mark {
				t.Errorf("while it is open: %+v, mark %d", again, s.mark(t))
			}
		})
	}
}

// TestLossIsAccepted holds that an acceptance is for all processes, whatever they know, and that what comes
// after it is a new loss.
func TestLossIsAccepted(t *testing.T) {
	t.Parallel()
	s := lifeStore(t)
	if loss, err := s.AcceptLoss(t.Context()); err != nil || loss.Is() {
		t.Errorf("without a loss: %+v, %v", loss, err)
	}
	lost := []string{"one", "two", "three"}
	for i, epoch := range lost {
		v := s.vouched(t, Life{epoch, 7})
		loss, err := s.AcceptLoss(t.Context())
		if err != nil || !loss.Is() || loss != v.Loss {
			t.Fatalf("loss %d: %+v, %v, want %+v", i, loss, err, v.Loss)
		}
		for _, known := range append(lost[:i+1:i+1], "") {
			if v := s.vouched(t, Life{known, 7}); v.Loss.Is() || !v.Keep || v.Life.Epoch == known {
				t.Errorf("who knows %q is told %+v", known, v)
			}
		}
		if _, err := s.Get(t.Context(), job.NewID(time.Now())); errors.Is(err, job.ErrStoreReset) {
			t.Error("accepted, and still asked about")
		}
	}
	if v := s.vouched(t, Life{"four", 7}); !v.Loss.Is() {
		t.Errorf("a loss after those: %+v", v)
	}
}

// TestLossIsNoticed holds that the first who looks for a job that isn't there notices the loss, before any
// process has vouched again, and that another one's job tells no more than one that isn't there.
func TestLossIsNoticed(t *testing.T) {
	t.Parallel()
	s := lifeStore(t)
	n := simple()
	n.ID = job.NewID(time.Now())
	if _, err := s.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	s.vouched(t, Life{})
	s.age(t, markEvery, "marked")
	known := s.vouched(t, *s.Known()).Life
	s.rdb.HSet(t.Context(), s.metaKey(), "mark", known.Mark-1)
	lost := job.NewID(time.Now())
	stranger := access.View{Tenant: "another"}
	for _, err := range []error{s.Whole(t.Context()), second(s.Get(t.Context(), lost)),
		second(s.Views().Get(t.Context(), stranger, n.ID)), s.Remove(t.Context(), lost),
		s.RequestCancel(t.Context(), lost), second(s.Callback(t.Context(), lost)),
		s.Views().RequestCancel(t.Context(), stranger, n.ID), s.Use(t.Context(), lost, n.ID)} {
		if !errors.Is(err, job.ErrStoreReset) {
			t.Errorf("told %v", err)
		}
	}
	if note := s.rdb.HGet(t.Context(), s.metaKey(), "reset").Val(); note == "" {
		t.Error("nothing is noted: another process may say otherwise")
	}
	readings, err := s.GetMany(t.Context(), []job.ID{lost, n.ID})
	if err != nil || !errors.Is(readings[0].Err, job.ErrStoreReset) || readings[1].Err != nil {
		t.Errorf("many: %+v, %v", readings, err)
	}
	s.rdb.Del(t.Context(), s.metaKey())
	if _, err := s.Get(t.Context(), lost); !errors.Is(err, job.ErrStoreReset) {
		t.Errorf("before anybody has opened it anew: %v", err)
	}
	if _, err := s.Vouch(t.Context(), known); !errors.Is(err, ErrEmpty) {
		t.Errorf("vouched for nothing: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestParseLoss(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Millisecond).UTC()
	ms := strconv.FormatInt(now.UnixMilli(), 10)
	for text, want := range map[string]Loss{"": {}, "x": {}, "0-" + ms: {To: now}, ms + "-" + ms: {now, now}} {
		if got := parseLoss(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}
