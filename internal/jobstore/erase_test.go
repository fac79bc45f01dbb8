package jobstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"longshore/job"
)

// TestEraseInput ends jobs in all ways, and looks whose input goes, and how often who died before it was
// gone is followed by another.
func TestEraseInput(t *testing.T) {
	t.Parallel()
	ends := map[job.State]End{
		job.Succeeded: {Outcome: Succeeded},
		job.Failed:    {Outcome: Failed, Code: job.HandlerError},
		job.Canceled:  {Outcome: Canceled},
		job.Expired:   {},
	}
	overParts(t, func(t *testing.T, s *turned) {
		var told []job.ID
		s.sweeper.Input = func(_ context.Context, id job.ID) error {
			told = append(told, id)
			return nil
		}
		for _, when := range []string{"", job.DeleteOnSuccess, job.DeleteAtEnd} {
			for state, end := range ends {
				n := simple()
				n.DeleteInput, n.Spec.Input = when, &Input{Blob: Folder(n.ID) + "/in", Size: 1}
				n.ExpiresIn, n.MaxAttempts = time.Minute, 1
				mustCreate(t, s.Store, n)
				if state != job.Expired {
					s.end(t, n, end)
				}
				told = nil
				s.turn(t, 2*time.Minute)
				snap := s.wants(t, when, n.ID, state)
				goes := when == job.DeleteAtEnd || when == job.DeleteOnSuccess && state == job.Succeeded
				if !goes {
					if len(told) > 0 || snap.InputGone() {
						t.Errorf("%q, %s: told of %v, gone %v", when, state, told, snap.InputGone())
					}
					continue
				}
				if len(told) < 3 || slices.ContainsFunc(told, func(id job.ID) bool { return id != n.ID }) ||
					!snap.InputGone() || snap.InputDeletedAt != nil {
					t.Errorf("%q, %s: told of %v, %+v", when, state, told, snap)
				}
				for range 2 {
					if err := s.EraseInput(t.Context(), n.ID); err != nil {
						t.Fatal(err)
					}
				}
				at := s.state(t, n.ID).InputDeletedAt
				if at == nil || at.UnixMilli() != s.now {
					t.Errorf("%q, %s: gone at %v", when, state, at)
				}
				if err := s.InputErased(t.Context(), n.ID); err != nil {
					t.Fatal(err)
				}
				told = nil
				s.turn(t, 20*time.Minute)
				if len(told) > 0 {
					t.Errorf("%q, %s: told again after it was gone", when, state)
				}
			}
		}
	})
}

// TestInputInUse keeps the input of a job while another one works on it, and gives it to nobody after.
func TestInputInUse(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	owner, second := first(), first()
	in := &Input{Blob: Folder(owner.ID) + "/in", Size: 1}
	owner.DeleteInput, owner.Spec.Input, owner.MaxAttempts = job.DeleteOnSuccess, in, 1
	second.DeleteInput, second.Spec.Input, second.RetryOf = job.DeleteOnSuccess, in, owner.ID
	mustCreate(t, s.Store, owner)
	s.end(t, owner, End{Outcome: Failed, Code: job.HandlerError})
	third := simple()
	for _, id := range []job.ID{second.ID, third.ID} {
		if err := s.UseInput(t.Context(), owner.ID, id); err != nil {
			t.Fatal(err)
		}
	}
	mustCreate(t, s.Store, second)
	mustCreate(t, s.Store, third)
	s.end(t, second, End{Outcome: Succeeded})
	if err := s.EraseInput(t.Context(), owner.ID); !errors.Is(err, job.ErrInUse) {
		t.Errorf("erased while a job works on it: %v", err)
	}
	s.end(t, third, End{Outcome: Succeeded})
	if err := s.EraseInput(t.Context(), owner.ID); err != nil {
		t.Errorf("nobody works on it any more: %v", err)
	}
	if err := s.UseInput(t.Context(), owner.ID, job.NewID(time.Now())); !errors.Is(err, job.ErrInputGone) {
		t.Errorf("taken up after it went: %v", err)
	}
	if err := s.Use(t.Context(), owner.ID, job.NewID(time.Now())); err != nil {
		t.Errorf("its outputs are there still: %v", err)
	}
	if err := s.InputErased(t.Context(), second.ID); err != nil ||
		s.state(t, second.ID).InputDeletedAt == nil {
		t.Errorf("%v; its retry doesn't tell", err)
	}
}
