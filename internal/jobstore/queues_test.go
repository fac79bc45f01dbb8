package jobstore

import (
	"errors"
	"fmt"
	"testing"

	"longshore/job"
)

// TestQueues holds that names are bounded, that one that is forgotten is made anew by a process that still
// knows it, and that none is forgotten with a job in it.
func TestQueues(t *testing.T) {
	t.Parallel()
	overParts(t, testQueues)
}

func testQueues(t *testing.T, s *turned) {
	for i := range MaxQueues {
		if err := s.Enroll(t.Context(), fmt.Sprintf("q%d", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := s.Enroll(t.Context(), "one-more"); !errors.Is(err, ErrManyQueues) {
		t.Errorf("one more: %v", err)
	}
	if err := errors.Join(s.Enroll(t.Context(), "q7"), s.Enroll(t.Context(), "")); err != nil {
		t.Error(err)
	}
	n := simple()
	n.Queue = "q7"
	if _, err := s.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	forget := func(served ...string) {
		t.Helper()
		if err := s.ForgetQueues(t.Context(), served, 0); err != nil {
			t.Fatal(err)
		}
	}
	names := func() []string { return s.rdb.ZRange(t.Context(), s.queuesKey(), 0, -1).Val() }
	forget("q9")
	if left := names(); len(left) != 2 || left[0] != "q7" && left[1] != "q7" {
		t.Errorf("left: %q", left)
	}
	// A job comes into one that was forgotten, from a process that takes it to be there.
	late := simple()
	late.Queue = "q8"
	if _, err := s.Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	places, err := s.Places(t.Context(), s.part(late.ID))
	if err != nil || places[len(places)-1].Queue != "q8" {
		t.Errorf("places %v, %v", places, err)
	}
	forget("q9")
	if left := names(); len(left) != 3 {
		t.Errorf("with a job: %q", left)
	}
	snap, err := s.Get(t.Context(), late.ID)
	if err != nil || snap.Queue != "q8" || snap.Place() != late.Place() {
		t.Errorf("%+v, %v", snap, err)
	}
	for range 2 {
		if tk, ok := (handQueue{s.Store}).pop(); !ok || tk.Queue == "" {
			t.Errorf("popped %+v", tk)
		}
	}
	forget()
	if left := names(); len(left) != 0 {
		t.Errorf("empty: %q", left)
	}
	if p := job.ParsePlace("io-high:a-b"); p != (job.Place{Lane: job.LaneIO, Priority: job.High, Queue: "a-b"}) || !p.Known() {
		t.Errorf("%+v", p)
	}
}
