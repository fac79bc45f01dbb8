package jobstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

func TestGetMany(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	var ids []job.ID
	for range 150 {
		n := simple()
		mustCreate(t, s, n)
		ids = append(ids, n.ID)
	}
	gone, damaged := job.NewID(time.Now()), ids[7]
	if err := s.rdb.SetRange(t.Context(), s.key(damaged), 1, "?").Err(); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, gone)
	readings, err := s.GetMany(t.Context(), ids)
	if err != nil || len(readings) != len(ids) {
		t.Fatalf("%d readings, %v", len(readings), err)
	}
	for i, r := range readings {
		var want error
		switch ids[i] {
		case gone:
			want = job.ErrNotFound
		case damaged:
			want = job.ErrDamaged
		}
		if r.ID != ids[i] || !errors.Is(r.Err, want) || (want == nil && r.State != job.Queued) {
			t.Errorf("%s: %+v, want %v", ids[i], r, want)
		}
	}
	if readings, err := s.GetMany(t.Context(), nil); err != nil || len(readings) != 0 {
		t.Errorf("of none: %v, %v", readings, err)
	}
}

// Lone looks of many callers share calls: each sees what was there when it came.
func TestLooksTogether(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	ticket := mustCreate(t, s, n)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				snap, err := s.Get(t.Context(), n.ID)
				if err != nil || snap.ID != n.ID {
					t.Errorf("get: %+v, %v", snap, err)
					return
				}
				revs, err := s.Revs(t.Context(), []job.ID{n.ID})
				if err != nil || revs[0].ID != n.ID || revs[0].Rev < snap.Rev {
					t.Errorf("rev %+v after %d, %v", revs, snap.Rev, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			fence := NewFence()
			if _, err := s.Start(t.Context(), ticket, fence, false); err != nil {
				t.Error(err)
				return
			}
			if snap, err := s.Get(t.Context(), n.ID); err != nil || snap.State != job.Running {
				t.Errorf("after the start: %+v, %v", snap, err)
			}
			ended, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Release})
			if err != nil {
				t.Error(err)
				return
			}
			ticket = ended.Ticket
		}
	})
	wg.Wait()
	// Who leaves is let go, and nobody else suffers.
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(left, n.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has left: %v", err)
	}
	if _, err := s.Get(t.Context(), n.ID); err != nil {
		t.Error(err)
	}
}

// TestOneCallTwice holds that a job that stands twice in one call is made once,
// beside usual and unusual ones.
func TestOneCallTwice(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	plain, keyed := simple(), simple()
	keyed.IdempotencyKey = "k"
	keyed.ID = DrawID(time.Now(), access.Owner{}, "k")
	for round := range 2 {
		created, errs := s.CreateMany(t.Context(), []NewJob{plain, plain, keyed, keyed, plain})
		for i, c := range created {
			want := round == 0 && (i == 0 || i == 2)
			if errs[i] != nil || c.New != want {
				t.Errorf("round %d, job %d: new %t, want %t, %v", round, i, c.New, want, errs[i])
			}
		}
	}
	for _, n := range []NewJob{plain, keyed} {
		if snap, err := s.Get(t.Context(), n.ID); err != nil || snap.Rev != 1 || snap.State != job.Queued {
			t.Errorf("job %+v, %v", snap, err)
		}
	}
}

// TestSuccessNeedsTheFence holds that a run which has lost its job can't end it well either.
func TestSuccessNeedsTheFence(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	fence := s.started(t, n)
	if _, err := s.Finish(t.Context(), n.ID, NewFence(), End{Outcome: Succeeded}); !errors.Is(err, ErrLost) {
		t.Errorf("success of another run: %v", err)
	}
	if replies, err := s.Beats(t.Context(), []Beat{{ID: n.ID, Fence: NewFence(), Renew: true}}); err != nil ||
		!errors.Is(replies[0].Err, ErrLost) {
		t.Errorf("beat of another run: %+v, %v", replies, err)
	}
	if snap := s.state(t, n.ID); snap.State != job.Running || snap.Rev != 2 {
		t.Errorf("job %+v", snap)
	}
	if e, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded}); err != nil ||
		e.State != job.Succeeded {
		t.Errorf("its own run: %+v, %v", e, err)
	}
}
