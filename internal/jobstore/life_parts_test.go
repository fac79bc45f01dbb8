package jobstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// partsStore is a store whose partitions are all marked, and what is kept of it.
func partsStore(t *testing.T) (*Store, Life) {
	t.Helper()
	s := storeOf(t, Config{Prefix: redistest.Prefix(t), Partitions: 16})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	life := s.vouched(t, Life{}).Life
	s.marked(t, life)
	return s, life
}

// marked vouches until all partitions are marked and P:meta says so.
func (s *Store) marked(t *testing.T, life Life) {
	t.Helper()
	for range 2 { // the first marks them, the second notes that all are, once the marks have settled
		if v := s.vouched(t, life); v.Loss.Is() {
			t.Fatalf("%+v", v)
		}
		for _, base := range s.bases {
			p := parsePartMark(s.rdb.Get(t.Context(), base+"life").Val())
			s.rdb.Set(t.Context(), base+"life", fmt.Sprintf("%s %d %d", p.epoch, p.mark,
				p.at-settled.Milliseconds()), 0)
		}
	}
	parted := parsePartMark(s.rdb.HGet(t.Context(), s.metaKey(), "parted").Val() + " 0")
	if epoch := s.rdb.HGet(t.Context(), s.metaKey(), "epoch").Val(); parted.epoch != epoch {
		t.Fatalf("%+v", parted)
	}
}

// TestPartIsLost empties one partition, or gives it the data of an older day: that is noted as a loss, and
// over once it is accepted.
func TestPartIsLost(t *testing.T) {
	t.Parallel()
	s, life := partsStore(t)
	epoch := life.Epoch
	n := simple()
	mustCreate(t, s, n)
	part := s.base(n.ID)

	s.rdb.Del(t.Context(), part+"life", part+"j:"+n.ID.Raw())
	if _, err := s.Get(t.Context(), n.ID); !errors.Is(err, job.ErrStoreReset) {
		t.Errorf("a job of it, before anybody has compared: %v", err)
	}
	if loss, err := s.Loss(t.Context()); err != nil || !loss.Is() || !loss.From.IsZero() {
		t.Errorf("an emptied partition: %+v, %v", loss, err)
	}
	v := s.vouched(t, life)
	if !v.Loss.Is() || !v.Loss.From.IsZero() {
		t.Fatalf("an emptied partition: %+v", v)
	}
	if v := s.vouched(t, life); !v.Loss.Is() || s.rdb.Exists(t.Context(), part+"life").Val() != 0 {
		t.Errorf("its trace is gone before the loss was accepted: %+v", v)
	}
	if _, err := s.AcceptLoss(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v = s.vouched(t, life); v.Loss.Is() {
		t.Fatalf("accepted: %+v", v)
	}
	life = v.Life
	s.marked(t, life)
	if _, err := s.Get(t.Context(), n.ID); errors.Is(err, job.ErrStoreReset) {
		t.Errorf("a job of it, once that is accepted: %v", err)
	}
	if life.Epoch == epoch {
		t.Error("no new epoch has begun")
	}

	at := time.Now().Add(-time.Hour).UnixMilli()
	for range 3 {
		s.age(t, 11*time.Second, "marked")
		s.vouched(t, life)
		s.vouched(t, life)
	}
	mark := s.mark(t)
	s.rdb.Set(t.Context(), part+"life", fmt.Sprintf("%s %d %d", life.Epoch, mark-1, at), 0)
	if v = s.vouched(t, life); v.Loss.Is() {
		t.Errorf("one mark behind: %+v", v)
	}
	s.rdb.Set(t.Context(), part+"life", fmt.Sprintf("%s %d %d", life.Epoch, mark-2, at), 0)
	if v = s.vouched(t, life); !v.Loss.Is() || v.Loss.From.UnixMilli() != at {
		t.Errorf("an older partition: %+v", v)
	}
}

// TestPartIsAway has a partition that couldn't be marked for a while: that is no loss.
func TestPartIsAway(t *testing.T) {
	t.Parallel()
	s, life := partsStore(t)
	old := s.rdb.Get(t.Context(), s.bases[3]+"life").Val()
	for range 5 {
		s.age(t, 11*time.Second, "marked")
		s.vouched(t, life)
		s.rdb.Set(t.Context(), s.bases[3]+"life", old, 0) // as if this one's write had failed
	}
	if v := s.vouched(t, life); v.Loss.Is() {
		t.Errorf("%+v", v)
	}
	// Somebody who was frozen since marks nothing: he has read another mark than the one that is there.
	if n, err := s.scripts.mark.Run(t.Context(), s.rdb, []string{s.bases[4]}, old, "x 0 0").Int(); n != 0 ||
		err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
