package jobstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// overParts runs a test over as many partitions as the Redis needs, and over sixteen.
func overParts(t *testing.T, f func(t *testing.T, s *turned)) {
	kinds := []int{0, 16}
	switch os.Getenv(kindVariable) {
	case "":
	case manyParts:
		kinds = nil // the process that started this one has them
	default:
		kinds = kinds[:1] // storeOf says how many
	}
	for _, parts := range kinds {
		t.Run(fmt.Sprint(parts), func(t *testing.T) {
			t.Parallel()
			store := storeOf(t, Config{Prefix: redistest.Prefix(t), Turned: true, Partitions: parts})
			s := &turned{Store: store, queue: handQueue{store}, now: 1_700_000_000_000}
			s.sweeper = &Sweeper{Store: s.Store, Log: slog.New(slog.DiscardHandler)}
			s.turn(t, 0)
			f(t, s)
		})
	}
}

// after is a job that is after others.
func after(before ...job.ID) NewJob {
	n := simple()
	n.After = before
	return n
}

func (s *turned) end(t *testing.T, n NewJob, e End) {
	t.Helper()
	tickets := job.Ticket{ID: n.ID, Delivery: s.delivery(t, n.ID), Type: n.Type, Lane: n.Lane,
		Priority: n.Priority}
	fence := NewFence()
	if _, err := s.Start(t.Context(), tickets, fence, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context(), n.ID, fence, e); err != nil {
		t.Fatal(err)
	}
}

func (s *turned) delivery(t *testing.T, id job.ID) int64 {
	t.Helper()
	r, err := s.Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.Delivery
}

func (s *turned) wants(t *testing.T, what string, id job.ID, state job.State) job.Snapshot {
	t.Helper()
	snap := s.state(t, id)
	if snap.State != state {
		t.Errorf("%s: is %s, not %s: %+v", what, snap.State, state, snap.After)
	}
	return snap
}

func TestAfter(t *testing.T) {
	t.Parallel()
	done := End{Outcome: Succeeded}
	overParts(t, func(t *testing.T, s *turned) {
		a, b := simple(), simple()
		mustCreate(t, s.Store, a)
		mustCreate(t, s.Store, b)
		both, anyway := after(a.ID, b.ID), after(b.ID)
		anyway.RunAnyway = true
		mustCreate(t, s.Store, both)
		mustCreate(t, s.Store, anyway)
		last := after(both.ID)
		mustCreate(t, s.Store, last)
		later := after(a.ID)
		later.RunAt = time.UnixMilli(s.now).Add(time.Hour)
		mustCreate(t, s.Store, later)
		if err := s.Remove(t.Context(), a.ID); !errors.Is(err, job.ErrNotEnded) {
			t.Errorf("an open one is removed: %v", err)
		}
		s.wants(t, "of two open ones", both.ID, job.Awaiting)
		s.end(t, a, done)
		s.turn(t, time.Second)
		s.wants(t, "one of two has ended", both.ID, job.Awaiting)
		if snap := s.wants(t, "with a time", later.ID, job.Scheduled); !snap.RunAt.Equal(later.RunAt) {
			t.Errorf("its time is %v", snap.RunAt)
		}
		s.end(t, b, End{Outcome: Failed, Code: job.Timeout, Message: "no"})
		s.turn(t, time.Second)
		snap := s.wants(t, "one has failed", both.ID, job.Canceled)
		if snap.Error == nil || snap.Error.Code != job.DependencyFailed ||
			!strings.Contains(snap.Error.Message, string(b.ID)) || snap.After[0].State != job.Succeeded ||
			snap.After[1].State != job.Failed {
			t.Errorf("it says %+v, %+v", snap.Error, snap.After)
		}
		s.turn(t, time.Second)
		s.wants(t, "after one that never ran", last.ID, job.Canceled)
		if snap := s.wants(t, "whatever became of it", anyway.ID, job.Queued); snap.RunAt == nil ||
			snap.RunAt.UnixMilli() < s.now-3000 {
			t.Errorf("its age counts from %v", snap.RunAt)
		}
		ended := after(a.ID)
		mustCreate(t, s.Store, ended)
		s.wants(t, "one that has ended", ended.ID, job.Queued)
		gone := after(a.ID, job.NewID(time.Now()))
		mustCreate(t, s.Store, gone)
		if snap := s.wants(t, "one that is gone", gone.ID, job.Canceled); snap.Error == nil ||
			snap.Error.Code != job.DependencyGone {
			t.Errorf("it says %+v", snap.Error)
		}
		for part := range s.bases {
			if n := s.rdb.ZCard(t.Context(), s.bases[part]+"owes:after").Val(); n > 0 {
				t.Errorf("partition %d owes %d", part, n)
			}
		}
	})
}

// TestAfterUnentered is a kill between the steps: the job stands there and is entered nowhere.
func TestAfterUnentered(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		a, b := simple(), simple()
		mustCreate(t, s.Store, a)
		mustCreate(t, s.Store, b)
		n := after(a.ID, b.ID)
		mustCreate(t, s.Store, n)
		for _, one := range []NewJob{a, b} {
			if err := s.rdb.Del(t.Context(), s.base(one.ID)+"d:"+one.ID.Raw()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.end(t, a, End{Outcome: Succeeded})
		s.turn(t, time.Second)
		if open := s.state(t, n.ID).After[0].State; open != "" {
			t.Fatalf("an end that it can't have heard of: %s", open)
		}
		s.turn(t, 10*time.Second)
		if first := s.state(t, n.ID).After[0].State; first != job.Succeeded {
			t.Errorf("entered anew it hears that the first is %q", first)
		}
		s.end(t, b, End{Outcome: Succeeded})
		s.turn(t, time.Second)
		s.wants(t, "all have ended", n.ID, job.Queued)
	})
}

// TestManyAfterOne holds that the end of a job which many are after is bounded, and all hear of it.
func TestManyAfterOne(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		a := simple()
		mustCreate(t, s.Store, a)
		many := make([]NewJob, 500)
		for i := range many {
			many[i] = after(a.ID)
		}
		if _, errs := s.CreateMany(t.Context(), many); errors.Join(errs...) != nil {
			t.Fatal(errors.Join(errs...))
		}
		s.end(t, a, End{Outcome: Succeeded})
		if err := s.Remove(t.Context(), a.ID); !errors.Is(err, job.ErrInUse) {
			t.Errorf("removed before all have heard: %v", err)
		}
		s.turn(t, 3*time.Second)
		for _, n := range many {
			s.wants(t, "one of many", n.ID, job.Queued)
		}
		if err := s.Remove(t.Context(), a.ID); err != nil {
			t.Error(err)
		}
	})
}

// TestChainFalls ends the first of a chain that is longer than a call tells.
func TestChainFalls(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		chain := make([]NewJob, 120)
		for i := range chain {
			if chain[i] = simple(); i > 0 {
				chain[i] = after(chain[i-1].ID)
			}
			mustCreate(t, s.Store, chain[i])
		}
		if _, err := s.Cancel(t.Context(), chain[0].ID); err != nil {
			t.Fatal(err)
		}
		s.turn(t, time.Minute)
		for _, n := range chain {
			s.wants(t, "of the chain", n.ID, job.Canceled)
		}
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		all, views := access.Everything, s.Views()
		n, a := simple(), simple()
		n.Hold = "does it look right?"
		mustCreate(t, s.Store, n)
		mustCreate(t, s.Store, a)
		s.turn(t, time.Hour)
		if snap := s.wants(t, "held", n.ID, job.Awaiting); !snap.Held() || snap.Hold.Why != n.Hold {
			t.Errorf("it says %+v", snap.Hold)
		}
		if _, err := views.Release(t.Context(), all, a.ID, "me"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("one that isn't held: %v", err)
		}
		other := access.View{Tenant: "other"}
		if _, err := views.Release(t.Context(), other, n.ID, "me"); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("another's: %v", err)
		}
		for range 2 {
			snap, err := views.Release(t.Context(), all, n.ID, "me")
			if err != nil || snap.State != job.Queued || snap.Held() || snap.Hold.ReleasedBy != "me" {
				t.Errorf("released: %v, %+v", err, snap)
			}
		}
		if lines, err := s.Story(t.Context(), n.ID); err != nil || strings.Count(fmt.Sprint(lines), "released") != 1 {
			t.Errorf("its story: %v, %v", lines, err)
		}
		both := after(a.ID)
		both.Hold = "and a yes"
		mustCreate(t, s.Store, both)
		if snap, err := views.Release(t.Context(), all, both.ID, ""); err != nil || snap.State != job.Awaiting {
			t.Errorf("released, and after another: %v, %s", err, snap.State)
		}
		s.end(t, a, End{Outcome: Succeeded})
		s.turn(t, time.Second)
		s.wants(t, "released, and the other has ended", both.ID, job.Queued)
		late := simple()
		late.Hold, late.ExpiresIn = "in time", time.Minute
		mustCreate(t, s.Store, late)
		s.turn(t, 2*time.Minute)
		s.wants(t, "nobody came", late.ID, job.Expired)
		if _, err := views.Release(t.Context(), all, late.ID, ""); !errors.Is(err, ErrEnded) {
			t.Errorf("one that has ended: %v", err)
		}
	})
}

// TestHeldUpload holds that a job with an input waits once that is whole, and that it ends during its
// upload where one that it is after fails.
func TestHeldUpload(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		a := simple()
		mustCreate(t, s.Store, a)
		held, falls := after(a.ID), after(a.ID)
		held.Hold, held.RunAnyway = "look at it", true
		held.UploadFence, falls.UploadFence = NewFence(), NewFence()
		for _, n := range []NewJob{held, falls} {
			if _, err := s.Create(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		s.wants(t, "during its upload", held.ID, job.Uploading)
		spec := Spec{Input: &Input{Blob: Folder(held.ID) + "/x/in", Size: 1}}
		if ticket, err := s.Uploaded(t.Context(), held.ID, held.UploadFence, spec); err != nil ||
			ticket.Delivery != 0 {
			t.Errorf("uploaded: %v, %+v", err, ticket)
		}
		s.wants(t, "its input is whole", held.ID, job.Awaiting)
		s.end(t, a, End{Outcome: Failed, Code: job.Timeout, Message: "no"})
		s.turn(t, time.Second)
		s.wants(t, "during its upload", falls.ID, job.Canceled)
		if err := s.rdb.ZScore(t.Context(), s.base(held.ID)+"lease", held.ID.Raw()).Err(); err == nil {
			t.Error("it waits and has a lease")
		}
		snap, err := s.Views().Release(t.Context(), access.Everything, held.ID, "")
		if err != nil || snap.State != job.Queued {
			t.Errorf("released: %v, %s", err, snap.State)
		}
	})
}

// TestHeldUnread holds that a job isn't let go of which can't be read any more what it waits for.
func TestHeldUnread(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		for _, spoil := range []func(key string){
			func(key string) { s.rdb.Del(t.Context(), key) },
			func(key string) { s.rdb.Set(t.Context(), key, "strange", 0) },
		} {
			n := simple()
			n.Hold, n.ExpiresIn = "wait", 30*time.Second
			mustCreate(t, s.Store, n)
			spoil(s.base(n.ID) + "x:" + n.ID.Raw())
			if _, err := s.Fix(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.turn(t, 20*time.Second)
			if m, err := s.rdb.Get(t.Context(), s.key(n.ID)).Result(); err != nil || m[1:2] != "a" {
				t.Errorf("it doesn't wait: %q, %v", m, err)
			}
			if s.rdb.ZScore(t.Context(), s.base(n.ID)+"aside", n.ID.Raw()).Err() != nil {
				t.Error("it isn't set aside")
			}
		}
	})
}

// TestAfterTold holds that who starts a job learns how those before it have ended.
func TestAfterTold(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		a := simple()
		mustCreate(t, s.Store, a)
		n := after(a.ID)
		n.RunAnyway = true
		mustCreate(t, s.Store, n)
		s.end(t, a, End{Outcome: Failed, Code: job.Timeout, Message: "no"})
		s.turn(t, time.Second)
		claimer := s.NewClaimer([]string{n.Type})
		var claims []Claim
		var err error
		for range 2 { // the first's ticket may stand there still, and is dropped
			claims, _, err = claimer.Claim(t.Context(), n.Place(), s.part(n.ID), 1)
			if len(claims) > 0 {
				break
			}
		}
		if err != nil || len(claims) != 1 || claims[0].Ticket.ID != n.ID {
			t.Fatalf("claimed: %v, %+v", err, claims)
		}
		want := []job.After{{ID: a.ID, State: job.Failed}}
		if got := claims[0].Started.After; !slices.Equal(got, want) {
			t.Errorf("after %v, want %v", got, want)
		}
		again, err := s.Start(t.Context(), claims[0].Ticket, claims[0].Fence, false)
		if err != nil || !slices.Equal(again.After, want) {
			t.Errorf("started again: %v, after %v", err, again.After)
		}
	})
}

// TestAfterAnothers holds that a job after one of another tenant is as if that were gone, whatever has
// let it in.
func TestAfterAnothers(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		theirs := simple()
		mustCreate(t, s.Store, theirs)
		mine := after(theirs.ID)
		mine.Owner = access.Owner{Tenant: "mine"}
		mustCreate(t, s.Store, mine)
		snap := s.wants(t, "after another tenant's", mine.ID, job.Canceled)
		if snap.Error == nil || snap.Error.Code != job.DependencyGone ||
			snap.After[0].State != job.AfterGone {
			t.Errorf("it says %+v, %+v", snap.Error, snap.After)
		}
		if n := s.rdb.Exists(t.Context(), s.base(theirs.ID)+"d:"+theirs.ID.Raw()).Val(); n > 0 {
			t.Error("it is entered there")
		}
	})
}
