package jobstore

import (
	"testing"
	"time"

	"longshore/job"
)

// TestLooksHaveTime holds that a long queue, whose tickets were made with their
// records, costs a sweep a few looks only; that nothing else waits for them; that
// what has just come is looked at in time all the same; and that each has its turn.
func TestLooksHaveTime(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	s.Store = New(s.rdb, Config{Prefix: s.prefix, clockKey: s.prefix + ":clock", Tickets: noTickets})
	s.sweeper.Store = s.Store
	inShard := func() NewJob {
		n := simple()
		n.ID = job.NewIDIn(time.Now(), 7)
		return n
	}
	const many = 100
	waiting := map[job.ID]bool{}
	for range many { // their tickets are in no queue
		n := inShard()
		mustCreate(t, s.Store, n)
		waiting[n.ID] = true
	}
	s.turn(t, 4*time.Second)
	later, timed := inShard(), inShard()
	timed.RunAt = time.UnixMilli(s.now + 1500)
	mustCreate(t, s.Store, timed)
	if sum := s.turn(t, 500*time.Millisecond); sum.Looked != 0 {
		t.Errorf("looked at %d jobs before their time", sum.Looked)
	}
	if sum := s.turn(t, 500*time.Millisecond); sum.Looked != 2*lookLimit || sum.Repaired != sum.Looked {
		t.Errorf("first sweep: %+v", sum)
	}
	if sum := s.turn(t, 500*time.Millisecond); sum.Due != 1 {
		t.Errorf("a job whose time has come waits for looks: %+v", sum)
	}
	mustCreate(t, s.Store, later)
	s.turn(t, 4500*time.Millisecond)
	if got := s.tickets(); got[later.ID] {
		t.Error("looked at before its time")
	}
	s.turn(t, 500*time.Millisecond)
	if got := s.tickets(); !got[later.ID] {
		t.Error("what has just come stands behind a long queue")
	}
	s.turn(t, many/lookLimit*500*time.Millisecond)
	got := s.tickets()
	for id := range waiting {
		if !got[id] {
			t.Errorf("%s was not looked at", id)
		}
	}
}

// tickets are the jobs that have one.
func (s *turned) tickets() map[job.ID]bool {
	ids := map[job.ID]bool{}
	for _, task := range s.queue.tasks {
		ids[task.t.ID] = true
	}
	return ids
}
