package jobstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

func newBatch(t *testing.T, s *turned, owner access.Owner) job.ID {
	t.Helper()
	n := NewJob{ID: job.NewID(time.Now()), Type: job.BatchType, Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Second, MaxAttempts: 1, Retention: time.Hour, ExpiresIn: time.Hour, Owner: owner}
	if c, err := s.OpenBatch(t.Context(), n); err != nil || !c.New {
		t.Fatalf("%+v, %v", c, err)
	}
	return n.ID
}

func joinBatch(s *turned, in job.ID, owner access.Owner) (job.ID, error) {
	n := simple()
	n.ID, n.Batch, n.Owner = job.NewID(time.Now()), in, owner
	_, err := s.Create(context.Background(), n)
	return n.ID, err
}

// TestBatchesOfOthers are no batches, on one partition and on many.
func TestBatchesOfOthers(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		mine, other := access.Owner{Tenant: "acme"}, access.Owner{Tenant: "evil"}
		id := newBatch(t, s, mine)
		n := NewJob{ID: id, Type: job.BatchType, Lane: job.LaneIO, Priority: job.Default,
			Timeout:     time.Second,
			MaxAttempts: 1, Retention: time.Hour, ExpiresIn: time.Hour, Owner: other, Claim: time.Hour, Digest: "x"}
		if c, err := s.OpenBatch(t.Context(), n); err == nil && c.New {
			t.Errorf("another tenant opened it: %+v", c)
		}
		user := access.Owner{Tenant: "acme", Subject: "u1"}
		its := newBatch(t, s, user)
		for range 20 {
			if _, err := joinBatch(s, id, other); !errors.Is(err, ErrNoBatch) {
				t.Errorf("another tenant's job: %v", err)
			}
			if _, err := joinBatch(s, id, mine); err != nil {
				t.Error(err)
			}
			if _, err := joinBatch(s, its, access.Owner{Tenant: "acme", Subject: "u2"}); !errors.Is(err, ErrNoBatch) {
				t.Errorf("another user's job: %v", err)
			}
			if _, err := joinBatch(s, its, user); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLostShares end no batch too early: its counts are gone, or a key is of another type.
func TestLostShares(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		mine := access.Owner{}
		id := newBatch(t, s, mine)
		var last job.ID
		for range 5 {
			var err error
			if last, err = joinBatch(s, id, mine); err != nil {
				t.Fatal(err)
			}
		}
		for _, base := range s.bases {
			s.rdb.Del(t.Context(), base+"b:"+id.Raw())
		}
		if _, err := s.Views().CloseBatch(t.Context(), access.Everything, id, ""); err != nil {
			t.Fatal(err)
		}
		if snap, err := s.Get(t.Context(), id); err != nil || snap.Done {
			t.Errorf("it has ended: %+v, %v", snap, err)
		}
		if _, err := s.CancelBy(t.Context(), id, "me"); err != nil {
			t.Fatal(err)
		}
		s.turn(t, 30*time.Second)
		snap, err := s.Get(t.Context(), id)
		if err != nil || snap.State != job.Canceled || snap.Jobs.Canceled != 5 {
			t.Errorf("canceled, it is %+v %+v, %v", snap, snap.Jobs, err)
		}
		if end, err := s.Get(t.Context(), last); err != nil || end.State != job.Canceled {
			t.Errorf("a job of it: %+v, %v", end, err)
		}
	})
}

// TestBatchOfAnotherType gives room where a strange hand has put keys of another type.
func TestBatchOfAnotherType(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		id := newBatch(t, s, access.Owner{})
		for _, base := range s.bases {
			s.rdb.Set(t.Context(), base+"m:"+id.Raw(), "strange", 0)
		}
		for range 5 {
			if _, err := joinBatch(s, id, access.Owner{}); err != nil {
				t.Fatal(err)
			}
		}
		if snap, err := s.Views().CloseBatch(t.Context(), access.Everything, id, ""); err != nil || snap.Jobs.Total != 5 {
			t.Errorf("%+v, %v", snap.Jobs, err)
		}
		_, err := s.Views().Change(t.Context(), access.Everything, id, Change{ExpiresAt: &time.Time{}}, nil, "")
		if !errors.Is(err, ErrFixed) {
			t.Errorf("a batch that never ends: %v", err)
		}
	})
}
