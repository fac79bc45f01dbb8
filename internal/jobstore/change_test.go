package jobstore

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// changes changes a job, and wants an error.
func (s *turned) changes(t *testing.T, id job.ID, c Change, want error, revs ...int64) job.Snapshot {
	t.Helper()
	snap, err := s.Views().Change(t.Context(), access.Everything, id, c, revs, "me")
	if !errors.Is(err, want) {
		t.Fatalf("change %+v: %v, want %v", c, err, want)
	}
	return snap
}

// at is a time from now.
func (s *turned) at(d time.Duration) *time.Time {
	at := time.UnixMilli(s.now).Add(d).UTC()
	return &at
}

// from is who takes what stands in a queue.
func from(n NewJob, p job.Priority) NewJob {
	n.Priority = p
	return n
}

// TestChangeQueued moves a queued job to another list and to another time, and wants it started just once.
func TestChangeQueued(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		n := first()
		mustCreate(t, s.Store, n)
		snap := s.changes(t, n.ID, Change{Priority: job.High, MaxAttempts: 9, Timeout: time.Hour}, nil, 1)
		if snap.Priority != job.High || snap.MaxAttempts != 9 || snap.Rev != 2 || snap.State != job.Queued {
			t.Errorf("%+v", snap)
		}
		if again := s.changes(t, n.ID, Change{Priority: job.High, MaxAttempts: 9}, nil, 1); again.Rev != 2 {
			t.Errorf("a repeat has raised the revision: %+v", again)
		}
		s.changes(t, n.ID, Change{Priority: job.Low}, ErrRev, 1, 7)
		if ids, _ := s.takes(t, n, 10); len(ids) > 0 {
			t.Errorf("its old ticket starts it: %v", ids)
		}
		later := s.at(time.Hour)
		snap = s.changes(t, n.ID, Change{RunAt: later, Labels: &job.Labels{"a": "b"}}, nil)
		if snap.State != job.Scheduled || !snap.RunAt.Equal(*later) || snap.Labels["a"] != "b" {
			t.Errorf("%+v", snap)
		}
		if ids, _ := s.takes(t, from(n, job.High), 10); len(ids) > 0 {
			t.Errorf("before its time %v", ids)
		}
		s.turn(t, time.Minute)
		s.wants(t, "before its time", n.ID, job.Scheduled)
		snap = s.changes(t, n.ID, Change{RunAt: s.at(0), Labels: &job.Labels{}}, nil)
		if len(snap.Labels) > 0 || snap.State != job.Queued {
			t.Errorf("%+v", snap)
		}
		ids, fences := s.takes(t, from(n, job.High), 10)
		if !slices.Equal(ids, []job.ID{n.ID}) {
			t.Fatalf("at its time %v", ids)
		}
		for _, c := range []Change{{Priority: job.Low}, {RunAt: s.at(time.Hour)},
			{ExpiresAt: s.at(time.Hour)}, {Retention: time.Hour * 9}} {
			s.changes(t, n.ID, c, ErrStarted, 999)
		}
		s.changes(t, n.ID, Change{Priority: job.High, RunAt: s.at(0)}, nil) // as it is
		s.finish(t, n.ID, fences[0], End{Outcome: Retry, Code: job.HandlerError, Delay: time.Hour})
		s.changes(t, n.ID, Change{ExpiresAt: s.at(time.Hour)}, ErrStarted)
		if snap = s.changes(t, n.ID, Change{RunAt: s.at(0)}, nil); snap.State != job.Queued {
			t.Errorf("what backs off is %s", snap.State)
		}
		ids, fences = s.takes(t, from(n, job.High), 10)
		if len(ids) != 1 {
			t.Fatalf("what backed off: %v", ids)
		}
		s.finish(t, n.ID, fences[0], End{Outcome: Succeeded})
		s.changes(t, n.ID, Change{Priority: job.Low}, ErrEnded)
		s.changes(t, n.ID, Change{RunAt: s.at(0)}, ErrEnded)
		s.changes(t, n.ID, Change{Retention: time.Minute}, nil)
		story, err := s.Story(t.Context(), n.ID)
		if err != nil || len(story) != 5 || story[0].What != "changed" ||
			story[0].About != "priority=high,timeout=3600000,max_attempts=9 me" {
			t.Errorf("%+v, %v", story, err)
		}
		if kept, found := s.books(t.Context(), s.part(n.ID)); len(kept) == 0 || !maps.Equal(kept, found) {
			t.Errorf("counted %v, there are %v", kept, found)
		}
		s.turn(t, 2*time.Minute)
		if _, err := s.Get(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("after its new retention: %v", err)
		}
	})
}

// TestChangeExpiry takes an expiry away, brings one, and makes retention longer.
func TestChangeExpiry(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	never, soon, held := simple(), simple(), simple()
	never.ExpiresIn, held.Hold = time.Minute, "why"
	for _, n := range []NewJob{never, soon, held} {
		mustCreate(t, s.Store, n)
	}
	s.changes(t, never.ID, Change{ExpiresAt: &time.Time{}}, nil)
	s.changes(t, soon.ID, Change{ExpiresAt: s.at(time.Minute)}, nil)
	s.changes(t, held.ID, Change{ExpiresAt: s.at(time.Minute), RunAt: s.at(time.Second),
		Retention: 3 * time.Hour}, nil)
	s.turn(t, 2*time.Minute)
	s.wants(t, "whose expiry went", never.ID, job.Queued)
	s.wants(t, "that got one", soon.ID, job.Expired)
	s.wants(t, "that got one while it is held", held.ID, job.Expired)
	s.turn(t, 2*time.Hour)
	s.wants(t, "whose retention is longer", held.ID, job.Expired)
	if _, err := s.Get(t.Context(), soon.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("whose retention is as it was: %v", err)
	}
}

// TestChangeWaiting gives jobs that wait for others, for a yes or for their input another time and queue.
func TestChangeWaiting(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		before := simple()
		mustCreate(t, s.Store, before)
		waits, uploads := after(before.ID), simple()
		uploads.UploadFence = NewFence()
		mustCreate(t, s.Store, waits)
		mustCreate(t, s.Store, uploads)
		later := s.at(2 * time.Minute)
		for _, id := range []job.ID{waits.ID, uploads.ID} {
			s.changes(t, id, Change{RunAt: later, Priority: job.Low}, nil)
		}
		s.end(t, before, End{Outcome: Succeeded})
		spec := Spec{Input: &Input{Blob: "b"}}
		if _, err := s.Uploaded(t.Context(), uploads.ID, uploads.UploadFence, spec); err != nil {
			t.Fatal(err)
		}
		s.turn(t, time.Second)
		for _, id := range []job.ID{waits.ID, uploads.ID} {
			if snap := s.wants(t, "with a time", id, job.Scheduled); !snap.RunAt.Equal(*later) {
				t.Errorf("%+v", snap)
			}
		}
		s.turn(t, 3*time.Minute)
		waiting, _ := s.takes(t, from(waits, job.Low), 10)
		if uploading, _ := s.takes(t, from(uploads, job.Low), 10); len(waiting)+len(uploading) != 2 {
			t.Errorf("%v and %v are in the new queue", waiting, uploading)
		}
	})
}

// TestChangeInLine keeps the place of a job in the line of a limit when its queue is another, and gives up
// its place and its slot when it is to wait for a time.
func TestChangeInLine(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		one := Slots{Limit: "t/order", Most: 1, ToEnd: true}
		s.limits(t, 1, one)
		class := one.Class("a")
		jobs := []NewJob{limited("", class)}
		for range 3 {
			jobs = append(jobs, limited(jobs[0].ID, class))
		}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		s.changes(t, jobs[1].ID, Change{Priority: job.High}, nil) // stands first in the line
		s.changes(t, jobs[2].ID, Change{RunAt: s.at(4 * time.Minute)}, nil)
		s.changes(t, jobs[0].ID, Change{Priority: job.Low}, nil) // has the slot
		ids, fences := s.takes(t, from(jobs[0], job.Low), 10)
		if !slices.Equal(ids, []job.ID{jobs[0].ID}) {
			t.Fatalf("%v", ids)
		}
		s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		if left := s.tickets(t, jobs[0]); left != 3 { // a void one of the first, and two that wait
			t.Errorf("%d tickets", left)
		}
		if ids, fences = s.takes(t, from(jobs[1], job.High), 10); !slices.Equal(ids, []job.ID{jobs[1].ID}) {
			t.Fatalf("its place in the line: %v", ids)
		}
		s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		// The third waits for its time, and the fourth has the slot. It is to wait too, and gives it back.
		if snap := s.state(t, jobs[3].ID); snap.Limit != "" {
			t.Errorf("%+v", snap)
		}
		s.changes(t, jobs[3].ID, Change{RunAt: s.at(5 * time.Minute)}, nil)
		last := limited(jobs[0].ID, class)
		mustCreate(t, s.Store, last)
		if ids, fences = s.takes(t, last, 10); !slices.Equal(ids, []job.ID{last.ID}) {
			t.Fatalf("a slot is held by who waits for his time: %v", ids)
		}
		s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		s.turn(t, 6*time.Minute)
		for _, n := range jobs[2:] {
			if ids, fences = s.takes(t, n, 10); !slices.Equal(ids, []job.ID{n.ID}) {
				t.Fatalf("%v, not %s", ids, n.ID)
			}
			s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		}
	})
}

// tickets counts the keys of tickets in a job's partition.
func (s *turned) tickets(t *testing.T, n NewJob) (all int) {
	t.Helper()
	for _, queue := range s.lists(s.part(n.ID)) {
		keys := strings.NewReplacer("{", `\{`, "}", `\}`).Replace(s.keysOf(queue, s.part(n.ID)))
		all += len(s.keys(t.Context(), keys+"t:*"))
	}
	return all
}

// TestChangeInlineHead changes a job whose head the table had no room for, and whose new one has none either.
func TestChangeInlineHead(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	s.load(words{prefix: s.prefix, now: turnedTime, parts: len(s.bases), edit: func(src string) string {
		return strings.ReplaceAll(src, "call('HLEN', P .. 'heads') >= @MAX_HEADS@", "true")
	}})
	n := simple()
	n.Spec.Payload = []byte(`{"n":1}`)
	mustCreate(t, s.Store, n)
	for _, p := range []job.Priority{job.High, job.Low} {
		s.changes(t, n.ID, Change{Priority: p}, nil)
		r, err := s.Read(t.Context(), n.ID)
		if err != nil || r.Snapshot.Priority != p || string(r.Spec.Payload) != `{"n":1}` ||
			r.Snapshot.MaxAttempts != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if ids, _ := s.takes(t, from(n, job.Low), 3); len(ids) != 1 {
		t.Error("it doesn't start")
	}
}

// TestChangeMany changes those of a state, and counts again what the same operation has changed.
func TestChangeMany(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	queued, gone := simple(), simple()
	mustCreate(t, s.Store, queued)
	f := job.Filter{State: job.Queued}
	for range 2 {
		errs, err := s.ChangeMany(t.Context(), []job.ID{queued.ID, gone.ID}, Change{RunAt: s.at(time.Hour)},
			"op:x", f)
		if err != nil || errs[0] != nil || !errors.Is(errs[1], job.ErrNotFound) {
			t.Fatalf("%v, %v", errs, err)
		}
	}
	errs, err := s.ChangeMany(t.Context(), []job.ID{queued.ID}, Change{Priority: job.High}, "op:y", f)
	if err != nil || !errors.Is(errs[0], ErrMoved) {
		t.Errorf("%v, %v", errs, err)
	}
}
