package jobstore

import (
	"errors"
	"testing"
	"time"

	"longshore/job"
)

// finished creates a job that succeeds at once and is kept for a while.
func (s *turned) finished(t *testing.T, retention time.Duration) job.ID {
	t.Helper()
	n := simple()
	n.Retention = retention
	if _, err := s.Finish(t.Context(), n.ID, s.started(t, n), End{Outcome: Succeeded}); err != nil {
		t.Fatal(err)
	}
	return n.ID
}

// user registers a job with an owner and creates it.
func (s *turned) user(t *testing.T, owner job.ID) (job.ID, job.Ticket) {
	t.Helper()
	n := simple()
	n.Spec.Input = &Input{Blob: string(owner) + "/f/out", Size: 1}
	if err := s.Use(t.Context(), owner, n.ID); err != nil {
		t.Fatal(err)
	}
	return n.ID, mustCreate(t, s.Store, n)
}

func (s *turned) there(t *testing.T, id job.ID) bool {
	t.Helper()
	there, err := s.Exists(t.Context(), []job.ID{id})
	if err != nil {
		t.Fatal(err)
	}
	return there[0]
}

// TestUsedFilesOutliveRetention keeps an owner until its last user has ended.
func TestUsedFilesOutliveRetention(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	owner := s.finished(t, time.Second)
	first, ticket := s.user(t, owner)
	second, _ := s.user(t, owner)
	s.turn(t, 10*time.Minute)
	if !s.there(t, owner) {
		t.Fatal("the owner went while two jobs use its files")
	}
	fence := NewFence()
	st, err := s.Start(t.Context(), ticket, fence, false)
	if err != nil || st.Spec.Input.Owner() != owner {
		t.Fatalf("start: %+v, %v", st.Spec.Input, err)
	}
	if _, err := s.Finish(t.Context(), first, fence, End{Outcome: Succeeded}); err != nil {
		t.Fatal(err)
	}
	s.turn(t, 2*time.Minute)
	if !s.there(t, owner) {
		t.Fatal("the owner went while one job uses its files")
	}
	if _, err := s.Cancel(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	s.turn(t, usedMaxMS*time.Millisecond+time.Second)
	if s.there(t, owner) {
		t.Error("the owner stays although all users have ended")
	}
	keys := s.keys(t.Context(), s.prefix+":*"+string(owner)+"*")
	if err != nil || len(keys) > 0 {
		t.Errorf("left behind: %v, %v", keys, err)
	}
}

// TestUseNeedsAnEndedJob refuses what has no files that stay as they are.
func TestUseNeedsAnEndedJob(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	open := simple()
	mustCreate(t, s.Store, open)
	if err := s.Use(t.Context(), open.ID, job.NewID(time.Now())); !errors.Is(err, job.ErrNotEnded) {
		t.Errorf("use of an open job: %v", err)
	}
	if err := s.Use(t.Context(), job.NewID(time.Now()), open.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("use of no job: %v", err)
	}
}

// TestUserThatWasNeverMade lets the owner go some minutes later, not before:
// the user's record may be on its way.
func TestUserThatWasNeverMade(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	owner := s.finished(t, time.Second)
	if err := s.Use(t.Context(), owner, job.NewID(time.Now())); err != nil {
		t.Fatal(err)
	}
	s.turn(t, 9*time.Minute)
	if !s.there(t, owner) {
		t.Fatal("the owner went while its user may be on its way")
	}
	s.turn(t, 3*time.Minute)
	if s.there(t, owner) {
		t.Error("the owner waits for a user that never came")
	}
}

// TestUnuse takes a registration back without shortening anybody's retention.
func TestUnuse(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	for _, c := range []struct {
		retention, turned time.Duration
		stays             bool
	}{{time.Hour, time.Minute, true}, {time.Second, time.Minute, false}} {
		owner, user := s.finished(t, c.retention), job.NewID(time.Now())
		if err := s.Use(t.Context(), owner, user); err != nil {
			t.Fatal(err)
		}
		s.turn(t, c.turned)
		if err := s.Unuse(t.Context(), owner, user); err != nil {
			t.Fatal(err)
		}
		if s.turn(t, time.Second); s.there(t, owner) != c.stays {
			t.Errorf("retention %v, unused after %v: there is %v", c.retention, c.turned, !c.stays)
		}
	}
}

// TestRemoveByHandOfUsedFiles names the job that is in the way.
func TestRemoveByHandOfUsedFiles(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	owner := s.finished(t, time.Hour)
	user, _ := s.user(t, owner)
	var inUse *job.InUseError
	if err := s.Remove(t.Context(), owner); !errors.As(err, &inUse) || inUse.By != user {
		t.Fatalf("remove: %v", err)
	}
	if _, err := s.Cancel(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), owner); err != nil {
		t.Errorf("remove after the user's end: %v", err)
	}
}

// TestManyUsers has more users than one look sees.
func TestManyUsers(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	owner := s.finished(t, time.Second)
	var last job.ID
	for range 3 * bulkSize {
		last, _ = s.user(t, owner)
		if _, err := s.Cancel(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	open, _ := s.user(t, owner)
	for range 2 { // where among the others the open one lies is chance
		if user, err := s.dropUsers(t.Context(), owner); err != nil || user != open {
			t.Fatalf("open user: %s, %v, want %s", user, err, open)
		}
	}
	if _, err := s.Cancel(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if user, err := s.dropUsers(t.Context(), owner); err != nil || user != "" {
		t.Errorf("after all ended: %q, %v", user, err)
	}
	if swept := s.turn(t, 2*time.Second); swept.Removed != 1 || s.there(t, owner) {
		t.Errorf("the owner stays: %+v", swept)
	}
}
