package jobstore

import (
	"errors"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// sending is an upload in one request, under a key or a chosen id.
func sending(key string, id job.ID) NewJob {
	n := simple()
	n.UploadFence = NewFence()
	if n.IdempotencyKey = key; key != "" {
		n.ID = DrawID(time.Now(), access.Owner{}, key)
	} else {
		n.ID, n.Claim = id, time.Hour
	}
	return n
}

func inputOf(id job.ID, fence string) Spec {
	return Spec{Payload: []byte("{}"), Input: &Input{Blob: string(id) + "/" + fence + "/in", Size: 1}}
}

// TestTakeOver has a second upload take the first one over: it becomes the job,
// and whatever the first still says is lost.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	chosen := job.NewID(time.Now())
	for name, next := range map[string]func() NewJob{
		"key": func() NewJob { return sending("k", "") },
		"id":  func() NewJob { return sending("", chosen) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStore(t)
			first, second, third := next(), next(), next()
			mustCreate(t, s, first)
			id := first.ID
			if _, err := s.Beats(t.Context(),
				[]Beat{{ID: id, Fence: first.UploadFence,
					Progress: &job.Progress{BytesDone: 7}}}); err != nil {
				t.Fatal(err)
			}
			seen, err := s.Create(t.Context(), second)
			if err != nil || seen.New || seen.ID != id || seen.Upload != first.UploadFence || seen.Pieces {
				t.Fatalf("a repeat sees %+v, %v", seen, err)
			}
			other := second
			other.Digest = "another"
			if _, err := s.Create(t.Context(), other); !errors.Is(err, ErrMismatch) {
				t.Errorf("another request: %v", err)
			}
			second.UploadFrom, third.UploadFrom = seen.Upload, seen.Upload
			for range 2 { // an answer may be lost
				if c, err := s.Create(t.Context(), second); err != nil || !c.New || c.ID != id ||
					c.Ticket.Delivery != 0 {
					t.Fatalf("take over: %+v, %v", c, err)
				}
			}
			// This one saw the first, gave up, and is carried out late.
			if c, err := s.Create(t.Context(), third); err != nil || c.New || c.Upload != second.UploadFence {
				t.Errorf("a late one: %+v, %v", c, err)
			}
			snap, err := s.Get(t.Context(), id)
			if err != nil || snap.State != job.Uploading || snap.Progress != nil {
				t.Errorf("job %+v, %v", snap, err)
			}
			if r, err := s.Beats(t.Context(), []Beat{{ID: id, Fence: first.UploadFence, Renew: true}}); err !=
				nil || !errors.Is(r[0].Err, ErrLost) {
				t.Errorf("the first one's beat: %v, %v", r, err)
			}
			if _, err := s.Uploaded(t.Context(), id, first.UploadFence,
				inputOf(id, first.UploadFence)); !errors.Is(err, ErrLost) {
				t.Errorf("the first one is whole: %v", err)
			}
			if _, err := s.Finish(t.Context(), id, first.UploadFence,
				End{Outcome: Failed, Code: job.UploadIncomplete}); !errors.Is(err, ErrLost) {
				t.Errorf("the first one ends: %v", err)
			}
			want := inputOf(id, second.UploadFence)
			ticket, err := s.Uploaded(t.Context(), id, second.UploadFence, want)
			if err != nil || ticket.Delivery != 1 {
				t.Fatalf("the second one is whole: %+v, %v", ticket, err)
			}
			if c, err := s.Create(t.Context(), third); err != nil || c.New || c.Upload != "" || c.ID != id {
				t.Errorf("a repeat of a whole one: %+v, %v", c, err)
			}
			s.startsWith(t, ticket, want)
		})
	}
}

// TestDeadGivesFree has uploads end before their last byte: their key and their
// id are free again, for whatever request. A canceled one keeps them.
func TestDeadGivesFree(t *testing.T) {
	t.Parallel()
	chosen := job.NewID(time.Now())
	for name, next := range map[string]func() NewJob{
		"key": func() NewJob { return sending("k", "") },
		"id":  func() NewJob { return sending("", chosen) },
	} {
		for way, end := range map[string]func(*testing.T, *turned, NewJob){
			"cut": func(t *testing.T, s *turned, n NewJob) {
				if _, err := s.Finish(t.Context(), n.ID, n.UploadFence,
					End{Outcome: Failed, Code: job.UploadIncomplete}); err != nil {
					t.Fatal(err)
				}
			},
			"disk full": func(t *testing.T, s *turned, n NewJob) {
				if _, err := s.Finish(t.Context(), n.ID, n.UploadFence,
					End{Outcome: Failed, Code: job.StorageError}); err != nil {
					t.Fatal(err)
				}
			},
			"lease ended": func(t *testing.T, s *turned, _ NewJob) { s.turn(t, 20*time.Second) },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				s := turnedStore(t)
				first, second := next(), next()
				first.Retention = 25 * time.Second
				first.CallbackURL = "https://receiver.example/"
				mustCreate(t, s.Store, first)
				end(t, s, first)
				dead, err := s.Get(t.Context(), first.ID)
				if err != nil || dead.State != job.Failed {
					t.Fatalf("%+v, %v", dead, err)
				}
				if way != "lease ended" { // of that one the record doesn't know whose it was
					if c, err := s.Create(t.Context(), first); err != nil || !c.New {
						t.Errorf("a double of the first call: %+v, %v", c, err)
					}
					if again, _ := s.Get(t.Context(), first.ID); again.Rev != dead.Rev {
						t.Errorf("a double of the first call changed it: %+v", again)
					}
				}
				second.Digest, second.Spec.Payload = "another", []byte(`{"a":1}`)
				c, err := s.Create(t.Context(), second)
				if err != nil || !c.New || c.ID != second.ID {
					t.Fatalf("a repeat: %+v, %v", c, err)
				}
				ticket, err := s.Uploaded(t.Context(), second.ID, second.UploadFence,
					inputOf(second.ID, second.UploadFence))
				if err != nil || ticket.Delivery != 1 {
					t.Fatalf("the second one is whole: %+v, %v", ticket, err)
				}
				s.startsWith(t, ticket, inputOf(second.ID, second.UploadFence))
				snap, err := s.Get(t.Context(), second.ID)
				if err != nil || snap.Error != nil || snap.State != job.Running || name == "id" &&
					snap.Rev <= dead.Rev {
					t.Errorf("the new job: %+v, %v, was rev %d", snap, err, dead.Rev)
				}
				s.turn(t, 50*time.Second) // the dead one goes, and leaves the key alone
				if again, err := s.Create(t.Context(), second); err != nil || again.ID != second.ID {
					t.Errorf("a repeat when the dead one is gone: %+v, %v", again, err)
				}
			})
		}
		t.Run(name+", canceled", func(t *testing.T) {
			t.Parallel()
			s := testStore(t)
			first := next()
			mustCreate(t, s, first)
			if err := s.RequestCancel(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			if c, err := s.Create(t.Context(), next()); err != nil || c.New || c.ID != first.ID ||
				c.Upload != "" {
				t.Errorf("a repeat: %+v, %v", c, err)
			}
		})
	}
}

// TestPiecesAreNotTakenOver: an upload in pieces is gone on with.
func TestPiecesAreNotTakenOver(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	pieces, whole := sending("k", ""), sending("k", "")
	pieces.UploadExpiry = time.Hour
	mustCreate(t, s, pieces)
	c, err := s.Create(t.Context(), whole)
	if err != nil || c.New || !c.Pieces || c.Upload != pieces.UploadFence {
		t.Fatalf("%+v, %v", c, err)
	}
	whole.UploadFrom = c.Upload
	if c, err := s.Create(t.Context(), whole); err != nil || c.New {
		t.Errorf("taken over: %+v, %v", c, err)
	}
}
