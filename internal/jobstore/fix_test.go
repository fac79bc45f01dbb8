package jobstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// someone is whose one of the jobs of everyKind is.
var someone = access.Owner{Tenant: "acme", Subject: "anna"}

// everyKind makes a job of each state, and tells which they are.
func (s *turned) everyKind(t *testing.T) map[job.State]job.ID {
	t.Helper()
	ids := map[job.State]job.ID{}
	add := func(state job.State, edit func(*NewJob)) {
		n := first()
		if edit != nil {
			edit(&n)
		}
		mustCreate(t, s.Store, n)
		ids[state] = n.ID
	}
	for _, end := range []job.State{job.Succeeded, job.Failed} {
		n := withCallback()
		n.ID = first().ID
		fence := s.started(t, n)
		outcome := End{Outcome: Outcome(end), Code: job.HandlerError, Message: "no"}
		if _, err := s.Finish(t.Context(), n.ID, fence, outcome); err != nil {
			t.Fatal(err)
		}
		ids[end] = n.ID
	}
	running := first()
	s.started(t, running)
	ids[job.Running] = running.ID
	add(job.Scheduled, func(n *NewJob) { n.RunAt = time.UnixMilli(s.now).Add(time.Minute) })
	add(job.Uploading, func(n *NewJob) { n.UploadFence = NewFence() })
	add(job.Awaiting, func(n *NewJob) { n.Hold, n.ExpiresIn = "why", time.Hour })
	add(job.Canceled, nil)
	if _, err := s.Cancel(t.Context(), ids[job.Canceled]); err != nil {
		t.Fatal(err)
	}
	add(job.Queued, func(n *NewJob) { n.Owner = someone })
	return ids
}

// wholeBooks checks that counters, indexes and lists have each job.
func (s *turned) wholeBooks(t *testing.T, ids map[job.State]job.ID) {
	t.Helper()
	kept, found := s.books(t.Context(), 0)
	delete(kept, "bad")
	if !maps.Equal(kept, found) {
		t.Errorf("counted %q, there are %q", fmt.Sprint(kept), fmt.Sprint(found))
	}
	base := s.bases[0]
	for state, id := range ids {
		page, err := s.List(t.Context(), job.Filter{State: state})
		if err != nil || !slices.ContainsFunc(page.Jobs, func(j job.Snapshot) bool { return j.ID == id }) {
			t.Errorf("%s: is not in the list of its state: %v", state, err)
		}
		set := map[job.State]string{job.Running: "lease", job.Uploading: "lease", job.Scheduled: "when",
			job.Awaiting: "when"}[state]
		if set != "" && s.rdb.ZScore(t.Context(), base+set, id.Raw()).Err() != nil {
			t.Errorf("%s: is not in %s", state, set)
		}
		facts, err := s.Dissect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprint(facts)
		if !strings.Contains(all, "{state "+string(state)+",") ||
			!strings.Contains(all, "{in the stream of its type true}") ||
			state.Terminal() && !strings.Contains(all, "to be looked at from") ||
			state == job.Queued && !strings.Contains(all, "0 newer ones in") {
			t.Errorf("%s: %s", state, all)
		}
	}
	theirs := job.Filter{Tenant: someone.Tenant}
	if all, _, _ := pages(t, s.Store, theirs); len(all) != 1 || all[0] != ids[job.Queued] {
		t.Errorf("of the tenant are listed %v", all)
	}
	theirs.Subject = someone.Subject
	if all, _, _ := pages(t, s.Store, theirs); len(all) != 1 || all[0] != ids[job.Queued] {
		t.Errorf("of the subject are listed %v", all)
	}
	if all, _, _ := pages(t, s.Store, job.Filter{}); len(all) != len(ids) {
		t.Errorf("%d jobs are listed of %d", len(all), len(ids))
	}
}

// TestFix takes away, or spoils, all that stands beside the records: each is there again after it.
func TestFix(t *testing.T) {
	t.Parallel()
	for _, spoil := range []string{"taken away", "of another type", "left over"} {
		t.Run(spoil, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			ids := s.everyKind(t)
			s.wholeBooks(t, ids)
			base := s.bases[0]
			for _, key := range s.keys(t.Context(), "*"+s.prefix+"*") {
				name := strings.TrimPrefix(key, base)
				if name == key && !strings.Contains(key, ":pending") && !strings.Contains(key, ":t:") ||
					strings.HasPrefix(name, "j:") || strings.HasPrefix(name, "heads") ||
					name == "clock" || strings.HasPrefix(name, "x:") || // what a job waits for is told nowhere else
					strings.HasPrefix(name, "w:") ||
					strings.HasPrefix(name, "e:") || strings.HasPrefix(name, "i:") {
					continue
				}
				s.rdb.Del(t.Context(), key)
				if spoil == "of another type" {
					s.rdb.SetBit(t.Context(), key, 7, 1)
					if kind := s.rdb.Type(t.Context(), key).Val(); kind == "string" && slices.Contains(
						[]string{"last", "sweep"}, name) {
						s.rdb.Del(t.Context(), key)
						s.rdb.LPush(t.Context(), key, "strange")
					}
				}
			}
			if spoil == "left over" {
				s.rdb.ZAdd(t.Context(), base+"st:f:"+familyOf(access.DefaultTenant, first().Type),
					z(ids[job.Queued].Raw(), 1))
				s.rdb.HSet(t.Context(), base+"n", familyOf(access.DefaultTenant, first().Type)+"q", 77,
					"bad", "1")
			}
			if spoil == "of another type" { // the sweep makes room; till then moves are refused
				s.turn(t, 500*time.Millisecond)
			}
			sum, err := s.Fix(t.Context())
			if err != nil || sum.Records != int64(len(ids)) || len(sum.Damaged) != 0 || sum.Newer != 0 {
				t.Fatalf("%+v, %v", sum, err)
			}
			s.wholeBooks(t, ids)
			again, err := s.Fix(t.Context())
			if err != nil || again.Mended != 0 || again.Renewed != 0 || again.Pruned != 0 {
				t.Errorf("a second time: %+v, %v", again, err)
			}
			n := first()
			if ticket := mustCreate(t, s.Store, n); ticket.Delivery != 1 {
				t.Errorf("a new job has delivery %d", ticket.Delivery)
			}
			s.turn(t, 2*time.Second)
			if bad := s.rdb.HExists(t.Context(), base+"n", "bad").Val(); bad {
				t.Error("it is still marked as spoilt")
			}
		})
	}
}

// TestStrangeKeys leaves a key of another type in the place of each that all moves share: the sweep
// goes on, and jobs have again what they lack, without the doctor.
func TestStrangeKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"lease", "when", "ends", "owes:webhook", "aside", "n", "last", "sweep",
		"walk", "mend", "end", "pending", "parked", "own", "tenants"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			ids := s.everyKind(t)
			base := s.bases[0]
			key := base + name
			switch name {
			case "end":
				key = base + "end:" + s.rdb.ZRange(t.Context(), base+"ends", 0, 0).Val()[0]
			case "pending", "parked":
				key = s.keysOf("io-default", 0) + name
			}
			s.rdb.Del(t.Context(), key)
			if name == "last" || name == "sweep" || name == "walk" || name == "mend" {
				s.rdb.LPush(t.Context(), key, "strange")
			} else {
				s.rdb.Set(t.Context(), key, "strange", 0)
			}
			s.turn(t, time.Second)
			if name == "end" {
				s.turn(t, first().Retention+62*time.Second)
				s.turn(t, 2*time.Minute) // what the walk gives back is looked at within one
			}
			s.turn(t, time.Second)
			if bad := s.rdb.HGet(t.Context(), base+"n", "bad").Val(); bad != "1" {
				t.Errorf("it is not marked: %q", bad)
			}
			if name != "end" {
				if _, err := s.Fix(t.Context()); err != nil { // for the counters alone
					t.Fatal(err)
				}
				s.wholeBooks(t, ids)
				return
			}
			if n, err := s.Count(t.Context()); err != nil || n >= int64(len(ids)) {
				t.Errorf("%d jobs are left of %d, %v", n, len(ids), err)
			}
		})
	}
}

// TestMendWithoutDoctor has leases taken away under a running job: it is lost and runs again when
// its worker dies.
func TestMendWithoutDoctor(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n, later := simple(), simple()
	s.started(t, n)
	later.RunAt = time.UnixMilli(s.now).Add(5 * time.Second)
	mustCreate(t, s.Store, later)
	for _, set := range []string{"lease", "when"} {
		s.rdb.Set(t.Context(), s.bases[0]+set, "strange", 0)
	}
	s.turn(t, 10*time.Second)
	if snap := s.state(t, n.ID); snap.State != job.Queued {
		t.Errorf("its worker is gone, and it is %s", snap.State)
	}
	if snap := s.state(t, later.ID); snap.State != job.Queued {
		t.Errorf("its time has come, and it is %s", snap.State)
	}
}

// TestDissect tells of what can't be read, and of what is only half there.
func TestDissect(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t), Config{Prefix: redistest.Prefix(t)})
	n := simple()
	if _, err := s.Dissect(t.Context(), n.ID); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
	mustCreate(t, s, n)
	s.rdb.Set(t.Context(), s.key(n.ID), "\x03q", 0)
	facts, err := s.Dissect(t.Context(), n.ID)
	if all := fmt.Sprint(facts); err != nil ||
		!strings.Contains(all, "{damage record is cut short} {bytes 0371}") {
		t.Errorf("of a damaged one: %s, %v", all, err)
	}
	s.rdb.Del(t.Context(), s.key(n.ID))
	s.rdb.ZAdd(t.Context(), s.base(n.ID)+"when", z(n.ID.Raw(), 1_700_000_000_000))
	facts, err = s.Dissect(t.Context(), n.ID)
	if all := fmt.Sprint(facts); err != nil ||
		!strings.Contains(all, "{record there is none} {looked at 2023-11-14T22:13:20Z}") {
		t.Errorf("of a rest: %s, %v", all, err)
	}
}

// TestFixRetried holds that a failed job that was retried is found and counted as such again.
func TestFixRetried(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	n, again := first(), first()
	fence := s.started(t, n)
	end := End{Outcome: Failed, Code: job.HandlerError}
	if _, err := s.Finish(t.Context(), n.ID, fence, end); err != nil {
		t.Fatal(err)
	}
	again.RetryOf = n.ID
	mustCreate(t, s.Store, again)
	set := s.bases[0] + "st:" + retriedLetter + ":" + familyOf(access.DefaultTenant, n.Type)
	if s.rdb.ZScore(t.Context(), set, n.ID.Raw()).Err() != nil {
		t.Fatal("it is not found as retried")
	}
	s.rdb.Del(t.Context(), set, s.bases[0]+"n")
	if _, err := s.Fix(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.rdb.ZScore(t.Context(), set, n.ID.Raw()).Err() != nil || s.rdb.Exists(t.Context(),
		strings.Replace(set, "st:"+retriedLetter, "st:f", 1)).Val() != 0 {
		t.Error("it is not found as retried any more")
	}
	if kept, found := s.books(t.Context(), 0); !maps.Equal(kept, found) ||
		found[familyOf(access.DefaultTenant, n.Type)+"F"] != 1 {
		t.Errorf("counted %q, there are %q", fmt.Sprint(kept), fmt.Sprint(found))
	}
}

// TestFixTooMany holds that a family with more jobs than one call may count keeps its counters, and is told;
// that others are counted all the same.
func TestFixTooMany(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	for _, kind := range []string{"few", "many", "many", "many"} {
		n := first()
		n.Type = kind
		mustCreate(t, s, n)
	}
	base := s.bases[0]
	few, many := familyOf(access.DefaultTenant, "few")+"q", familyOf(access.DefaultTenant, "many")+"q"
	s.rdb.HSet(t.Context(), base+"n", few, 77, many, 77)
	f := fixing{Store: s, countMax: 2, base: base, sum: &Fixed{}}
	if err := f.run(t.Context()); !errors.Is(err, ErrTooMany) {
		t.Errorf("error is %v", err)
	}
	if kept := s.rdb.HMGet(t.Context(), base+"n", few, many).Val(); fmt.Sprint(kept) != "[1 77]" {
		t.Errorf("counters are %v", kept)
	}
}
