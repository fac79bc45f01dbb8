package jobstore

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

// TestLostLeases follows a job whose workers die one after the other.
func TestLostLeases(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	ticket := mustCreate(t, s.Store, n)
	for loss := 1; loss <= poisonLosses; loss++ {
		suspect := loss > suspectLosses
		if suspect {
			if _, err := s.Start(t.Context(), ticket, NewFence(), false); !errors.Is(err, ErrSuspect) {
				t.Fatalf("after %d losses: %v", loss-1, err)
			}
		}
		st, err := s.Start(t.Context(), ticket, NewFence(), suspect)
		if err != nil || st.Attempt != 1 || st.Losses != loss-1 {
			t.Fatalf("start %d: %+v, %v", loss, st, err)
		}
		s.turn(t, 9*time.Second)
		if task, ok := s.queue.pop(); ok {
			ticket = task
			if ticket.Delivery != int64(loss+1) {
				t.Errorf("loss %d led to delivery %d", loss, ticket.Delivery)
			}
		}
	}
	snap := s.state(t, n.ID)
	if snap.State != job.Failed || snap.Error == nil || snap.Error.Code != job.Poisoned {
		t.Errorf("after %d losses: %+v", poisonLosses, snap)
	}
}

func TestUploadThatFallsSilentFails(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n := simple()
	n.UploadFence = NewFence()
	mustCreate(t, s.Store, n)
	s.turn(t, 9*time.Second)
	snap := s.state(t, n.ID)
	if snap.State != job.Failed || snap.Error.Code != job.UploadIncomplete {
		t.Errorf("job is %+v", snap)
	}
	if _, err := s.Uploaded(t.Context(), n.ID, n.UploadFence, Spec{Input: &Input{Blob: "x"}}); !errors.Is(err,
		ErrLost) {
		t.Errorf("late end of the upload: %v", err)
	}
}

// TestLostTickets has asynq's tools take all tickets away: each queued job has
// another one soon, and those that were there still are not doubled.
func TestLostTickets(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(*Store, context.Context, string) int{"deleted": (*Store).deleteAll, "archived": (*Store).archiveAll} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			n := first()
			n.Priority = job.High
			other := mustCreate(t, s.Store, n)
			var tickets []job.Ticket
			for range 450 {
				tickets = append(tickets, mustCreate(t, s.Store, first()))
			}
			s.turn(t, time.Second)
			if got := take(s.Store, t.Context(), s.keysOf("io-default", 0)); got != len(tickets) {
				t.Fatalf("took %d tickets", got)
			}
			if sum := s.turn(t, 3*time.Second); sum.Repaired != len(tickets) {
				t.Errorf("swept %+v", sum)
			}
			if _, err := s.Start(t.Context(), tickets[0], NewFence(), false); !errors.Is(err, ErrStale) {
				t.Errorf("start with the old delivery: %v", err)
			}
			got := map[job.ID]job.Ticket{}
			for {
				ticket, ok := s.queue.pop()
				if !ok {
					break
				}
				got[ticket.ID] = ticket
			}
			if len(got) != len(tickets)+1 || got[other.ID].Delivery != 1 || got[tickets[0].ID].Delivery != 2 {
				t.Errorf("%d tickets, %+v, %+v", len(got), got[other.ID], got[tickets[0].ID])
			}
		})
	}
}

// TestStrangersTicket has a hand push what is no ticket: it is counted, thrown away, and no job is
// touched for it.
func TestStrangersTicket(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	mustCreate(t, s.Store, first())
	keys := s.keysOf("io-default", 0)
	for _, size := range []int{3, 17, 36} {
		s.rdb.LPush(t.Context(), keys+"pending", strings.Repeat("x", size))
	}
	s.rdb.LPush(t.Context(), keys+"pending", job.NewID(time.Now()).Raw())
	if sum := s.turn(t, time.Second); sum != (Swept{}) {
		t.Errorf("swept %+v", sum)
	}
	claims, _, err := s.NewClaimer([]string{"test.job"}).Claim(t.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 9)
	if err != nil || len(claims) != 1 || claims[0].Err != nil {
		t.Errorf("claimed %+v, %v", claims, err)
	}
	s.turn(t, time.Second)
	claims, more, err := s.NewClaimer([]string{"test.job"}).Claim(t.Context(),
		job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 9)
	if n := s.rdb.LLen(t.Context(), keys+"pending").Val(); err != nil || len(claims) != 0 || more || n != 0 {
		t.Errorf("then %+v, %v, %d entries are left", claims, err, n)
	}
	if kept, found := s.books(t.Context(), 0); !maps.Equal(kept, found) {
		t.Errorf("counted %v, there are %v", kept, found)
	}
}

// TestStallCountsNoLoss holds that nobody loses a job because nobody swept.
func TestStallCountsNoLoss(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{40 * time.Second, -40 * time.Second} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			n, waiting := simple(), simple()
			fence := s.started(t, n)
			mustCreate(t, s.Store, waiting)
			s.now += jump.Milliseconds()
			s.turn(t, 7*time.Second)
			if replies, err := s.Beats(t.Context(), []Beat{{ID: n.ID, Fence: fence, Renew: true}}); err !=
				nil || replies[0].Err != nil {
				t.Errorf("beat after the jump: %+v, %v", replies, err)
			}
			if snap := s.state(t, n.ID); snap.State != job.Running {
				t.Errorf("job is %s", snap.State)
			}
			s.deleteAll(t.Context(), s.keysOf("io-default", 0))
			s.turn(t, 2*time.Second)
			if _, ok := s.queue.pop(); !ok {
				t.Error("the lost ticket was not found")
			}
		})
	}
}
