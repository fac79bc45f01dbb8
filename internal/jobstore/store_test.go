package jobstore

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func testStore(t *testing.T) *Store {
	t.Helper()
	return storeOf(t, Config{Prefix: redistest.Prefix(t)})
}

// simple is a job of no particular kind.
func simple() NewJob {
	return NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, Digest: "d"}
}

// first is a simple job of the first partition: for tests that look at its keys, or at one order.
func first() NewJob {
	n := simple()
	n.ID = n.ID[:len(n.ID)-1] + "0"
	return n
}

func mustCreate(t *testing.T, s *Store, n NewJob) job.Ticket {
	t.Helper()
	c, err := s.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return c.Ticket
}

func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	n.Spec.Payload = []byte(`{"top":5}`)
	ticket := mustCreate(t, s, n)
	if ticket.Delivery != 1 {
		t.Fatalf("delivery %d, want 1", ticket.Delivery)
	}
	fence := NewFence()
	st, err := s.Start(t.Context(), ticket, fence, false)
	if err != nil || st.Attempt != 1 || st.Type != "test.job" || string(st.Spec.Payload) != `{"top":5}` ||
		st.Timeout != time.Minute {
		t.Fatalf("start: %+v, %v", st, err)
	}
	replies, err := s.Beats(t.Context(),
		[]Beat{{ID: n.ID, Fence: fence, Renew: true, Progress: &job.Progress{Phase: job.PhaseRun,
			BytesDone: 7}}})
	if err != nil || replies[0] != (BeatReply{}) {
		t.Fatalf("beat: %+v, %v", replies, err)
	}
	ended, err := s.Finish(t.Context(), n.ID, fence, End{Outcome: Succeeded, Result: []byte(`{"n":1}`),
		Outputs: []job.Output{{Name: "out", Blob: string(n.ID) + "/" + fence + "/out", Size: 3}},
		Usage:   job.Usage{WallMS: 12}})
	if err != nil || ended.State != job.Succeeded {
		t.Fatalf("finish: %+v, %v", ended, err)
	}
	snap, err := s.Get(t.Context(), n.ID)
	if err != nil {
		t.Fatal(err)
	}
	if snap.State != job.Succeeded || !snap.Done || snap.Rev != 4 || snap.Attempt != 1 ||
		string(snap.Result) != `{"n":1}` ||
		snap.Progress.BytesDone != 7 || snap.Outputs[0].Name != "out" || snap.Usage.WallMS != 12 ||
		snap.FinishedAt == nil {
		t.Errorf("snapshot %+v", snap)
	}
}

// TestCreatedSnapshot holds that what is told of a new job without reading its
// record is what the record says.
func TestCreatedSnapshot(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	for name, change := range map[string]func(*NewJob){
		"plain":     func(*NewJob) {},
		"payload":   func(n *NewJob) { n.Spec.Payload = []byte(`{"a":1}`) },
		"scheduled": func(n *NewJob) { n.RunAt = time.Now().Add(time.Hour) },
		"expiring":  func(n *NewJob) { n.ExpiresIn = time.Minute },
		"retry": func(n *NewJob) {
			old := first()
			mustCreate(t, s, old)
			if err := s.RequestCancel(t.Context(), old.ID); err != nil {
				t.Fatal(err)
			}
			n.RetryOf = old.ID
		},
		"keyed": func(n *NewJob) {
			n.IdempotencyKey = "k"
			n.ID = DrawID(time.Now(), access.Owner{}, "k")
		},
		"chosen": func(n *NewJob) { n.Claim = time.Hour },
		"owned":  func(n *NewJob) { n.Owner = access.Owner{Tenant: "acme", Subject: "ann"} },
	} {
		n := first()
		change(&n)
		c, err := s.Create(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		told, ok := c.Snapshot(n)
		stored, err := s.Get(t.Context(), n.ID)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if diff := cmp.Diff(stored, told); diff != "" {
			t.Errorf("%s: the record says (-), the creation told (+):\n%s", name, diff)
		}
		if again, err := s.Create(t.Context(), n); err != nil || again.New {
			t.Errorf("%s, again: %+v, %v", name, again, err)
		} else if _, ok := again.Snapshot(n); ok {
			t.Errorf("%s, again: told without the record", name)
		}
	}
}
