package jobstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"longshore/job"
)

// limited is a job of a class, with a place in the partition of the first.
func limited(first job.ID, classes ...string) NewJob {
	n := simple()
	if first != "" {
		n.ID = job.NewIDIn(time.Now(), first.Shard())
	}
	n.Limits = classes
	return n
}

// takes is what a worker can start now, by their order.
func (s *turned) takes(t *testing.T, n NewJob, most int) (ids []job.ID, fences []string) {
	t.Helper()
	c := s.NewClaimer([]string{n.Type})
	for range 4 {
		claims, more, err := c.Claim(t.Context(), n.Place(), s.part(n.ID), most-len(ids))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range claims {
			ids, fences = append(ids, one.Ticket.ID), append(fences, one.Fence)
		}
		if !more && len(claims) == 0 || len(ids) == most {
			break
		}
	}
	return ids, fences
}

func (s *turned) finish(t *testing.T, id job.ID, fence string, e End) {
	t.Helper()
	if _, err := s.Finish(t.Context(), id, fence, e); err != nil {
		t.Fatal(err)
	}
}

func (s *turned) limits(t *testing.T, rev int64, all ...Slots) {
	t.Helper()
	if err := s.SetSlots(t.Context(), rev, all); err != nil {
		t.Fatal(err)
	}
}

func idsOf(jobs []NewJob) (ids []job.ID) {
	for _, n := range jobs {
		ids = append(ids, n.ID)
	}
	return ids
}

// TestStrictOrder holds one slot of a key to each job's end: they run one after another, in the order of
// their submission, also while one of them backs off or loses its worker.
func TestStrictOrder(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		one := Slots{Limit: "t/order", Most: 1, ToEnd: true}
		s.limits(t, 1, one)
		a, b := one.Class("a"), one.Class("b")
		first := limited("", a)
		jobs := []NewJob{first}
		for range 4 {
			jobs = append(jobs, limited(first.ID, a))
		}
		other := limited(first.ID, b)
		_, errs := s.CreateMany(t.Context(), append(slices.Clone(jobs), other))
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		ids, fences := s.takes(t, first, 10)
		if !slices.Equal(ids, []job.ID{first.ID, other.ID}) {
			t.Fatalf("%d jobs start at once", len(ids))
		}
		if snap := s.state(t, jobs[1].ID); snap.Limit != "order" {
			t.Errorf("the second says that it waits for %q", snap.Limit)
		}
		line, err := s.LineOf(t.Context(), jobs[1].ID)
		if err != nil || line.Waiting != 4 || !slices.Equal(line.Holders, []job.ID{first.ID}) {
			t.Errorf("the line: %+v, %v", line, err)
		}
		s.finish(t, other.ID, fences[1], End{Outcome: Succeeded})
		s.finish(t, first.ID, fences[0], End{Outcome: Retry, Code: job.HandlerError, Delay: time.Minute})
		s.turn(t, time.Second)
		if ids, _ := s.takes(t, first, 10); len(ids) > 0 {
			t.Fatalf("while the first backs off %v start", ids)
		}
		s.turn(t, time.Minute)
		for i := range 4 {
			want := jobs[i].ID
			ids, fences := s.takes(t, first, 10)
			if !slices.Equal(ids, []job.ID{want}) {
				t.Fatalf("%d: %v start, not %v", i, ids, want)
			}
			switch i {
			case 1: // its worker dies
				s.turn(t, 10*time.Second)
				if ids, fences = s.takes(t, first, 10); !slices.Equal(ids, []job.ID{want}) {
					t.Fatalf("after its worker died %v start", ids)
				}
			case 2: // the next one is canceled
				if _, err := s.Cancel(t.Context(), jobs[3].ID); err != nil {
					t.Fatal(err)
				}
				jobs[3] = jobs[4]
			}
			s.finish(t, want, fences[0], End{Outcome: Succeeded})
		}
	})
}

// TestAtOnce bounds how many of a key run at once, while slots are given back between two runs.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		three := Slots{Limit: "*/three", Most: 3}
		s.limits(t, 1, three)
		class := three.Class("x")
		first := limited("", class)
		jobs := []NewJob{first}
		for range 9 {
			jobs = append(jobs, limited(first.ID, class))
		}
		free := limited(first.ID)
		for _, n := range append(slices.Clone(jobs), free) {
			mustCreate(t, s.Store, n)
		}
		ids, fences := s.takes(t, first, 10)
		if !slices.Equal(ids, append(idsOf(jobs[:3]), free.ID)) {
			t.Fatalf("%v start", ids)
		}
		s.finish(t, ids[0], fences[0], End{Outcome: Retry, Code: job.HandlerError, Delay: time.Hour})
		s.finish(t, ids[1], fences[1], End{Outcome: Succeeded})
		if ids, _ = s.takes(t, first, 10); !slices.Equal(ids, idsOf(jobs[3:5])) {
			t.Fatalf("in place of two %v start", ids)
		}
		s.limits(t, 2, Slots{Limit: "*/three", Most: 5})
		s.turn(t, time.Second)
		if ids, _ = s.takes(t, first, 10); !slices.Equal(ids, idsOf(jobs[5:7])) {
			t.Fatalf("raised by two %v start", ids)
		}
		s.limits(t, 3, Slots{Limit: "*/three", Most: 1}) // lowered: seven run
		s.turn(t, time.Second)
		if ids, _ = s.takes(t, first, 10); len(ids) > 0 {
			t.Fatalf("lowered to one %v start", ids)
		}
		s.limits(t, 4)
		s.turn(t, time.Second)
		if ids, _ = s.takes(t, first, 10); !slices.Equal(ids, idsOf(jobs[7:])) {
			t.Fatalf("without a limit %v start", ids)
		}
	})
}

// TestTwoLimits holds a job by two limits: it takes slots of both, or of none.
func TestTwoLimits(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		key, all := Slots{Limit: "t/key", Most: 1, ToEnd: true}, Slots{Limit: "t/all", Most: 2}
		s.limits(t, 1, key, all)
		class := func(by string) []string { return []string{key.Class(by), all.Class("-")} }
		first := limited("", class("a")...)
		jobs := []NewJob{first, limited(first.ID, class("a")...), limited(first.ID, class("b")...),
			limited(first.ID, class("c")...)}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		ids, fences := s.takes(t, first, 10)
		if !slices.Equal(ids, []job.ID{jobs[0].ID, jobs[2].ID}) {
			t.Fatalf("%v start", ids)
		}
		s.finish(t, ids[1], fences[1], End{Outcome: Succeeded}) // of b: c goes, and a's second may not
		if ids, _ := s.takes(t, first, 10); !slices.Equal(ids, []job.ID{jobs[3].ID}) {
			t.Fatalf("for b %v start", ids)
		}
		s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		if ids, _ := s.takes(t, first, 10); !slices.Equal(ids, []job.ID{jobs[1].ID}) {
			t.Fatalf("for the first of a %v start", ids)
		}
	})
}

// TestSlotsMended takes slots, lines and tickets away, and leaves slots of jobs that are gone: all jobs
// run.
func TestSlotsMended(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		one := Slots{Limit: "t/one", Most: 1}
		s.limits(t, 1, one)
		first := limited("", one.Class("a"))
		base := s.base(first.ID)
		jobs := []NewJob{first}
		for range 5 {
			jobs = append(jobs, limited(first.ID, one.Class("a")))
		}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		ran := map[job.ID]int{}
		run := func() {
			ids, fences := s.takes(t, first, 10)
			for i, id := range ids {
				ran[id]++
				s.finish(t, id, fences[i], End{Outcome: Succeeded})
			}
		}
		run()
		s.rdb.SAdd(t.Context(), base+"slots:"+one.Class("a"), job.NewID(time.Now()).Raw())
		s.rdb.SRem(t.Context(), base+"slots:"+one.Class("a"), jobs[1].ID.Raw())
		s.turn(t, time.Second)
		run()
		s.deleteAll(t.Context(), s.keysOf(first.Place().Name(), s.part(first.ID)))
		s.turn(t, 2*time.Second)
		run()
		s.rdb.Del(t.Context(), base+"line:"+one.Class("a"), base+"classes")
		if _, err := s.Fix(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			run()
			s.turn(t, time.Second)
		}
		for _, n := range jobs {
			if ran[n.ID] != 1 {
				t.Errorf("%s ran %d times: %+v", n.ID, ran[n.ID], s.state(t, n.ID))
			}
		}
		left := fmt.Sprintf("%d %d %d", s.rdb.SCard(t.Context(), base+"classes").Val(),
			s.rdb.SCard(t.Context(), base+"slots:"+one.Class("a")).Val(),
			s.rdb.LLen(t.Context(), base+"line:"+one.Class("a")).Val())
		if left != "0 0 0" {
			t.Errorf("left are %s classes, slots, tickets", left)
		}
	})
}

// TestOrderOfTwo holds the order of a key while its jobs wait for a limit that others fill, or some of
// them need no more than the key's.
func TestOrderOfTwo(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		key, wide := Slots{Limit: "t/key", Most: 1, ToEnd: true}, Slots{Limit: "t/wide", Most: 3}
		s.limits(t, 1, key, wide)
		first := limited("", wide.Class("-"))
		others := []NewJob{first, limited(first.ID, wide.Class("-")), limited(first.ID, wide.Class("-"))}
		var hooks []NewJob
		for i := range 6 {
			classes := []string{key.Class("a"), wide.Class("-")}
			if i%2 == 1 {
				classes = classes[:1]
			}
			hooks = append(hooks, limited(first.ID, classes...))
		}
		for _, n := range append(slices.Clone(others), hooks...) {
			mustCreate(t, s.Store, n)
		}
		ids, fences := s.takes(t, first, 10)
		if !slices.Equal(ids, idsOf(others)) {
			t.Fatalf("%v start", ids)
		}
		for i, id := range ids {
			s.finish(t, id, fences[i], End{Outcome: Succeeded})
		}
		for i, n := range hooks {
			ids, fences := s.takes(t, first, 10)
			if !slices.Equal(ids, []job.ID{n.ID}) {
				t.Fatalf("%d: %v start", i, ids)
			}
			s.finish(t, n.ID, fences[0], End{Outcome: Succeeded})
		}
	})
}

// TestNobodyStarves holds that a job of two busy classes gets its turn: it waits for those only that
// stood in the second line when it came there.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		a, b := Slots{Limit: "t/a", Most: 1}, Slots{Limit: "t/b", Most: 1}
		s.limits(t, 1, a, b)
		first := limited("", a.Class("-"))
		both := limited(first.ID, a.Class("-"), b.Class("-"))
		jobs := []NewJob{first, limited(first.ID, b.Class("-")), both}
		for i := range 40 {
			jobs = append(jobs, limited(first.ID, []Slots{a, b}[i%2].Class("-")))
		}
		for _, n := range jobs {
			mustCreate(t, s.Store, n)
		}
		ran := 0
		for range 50 {
			ids, fences := s.takes(t, first, 1)
			if len(ids) == 0 {
				break
			}
			if ran++; ids[0] == both.ID && ran > 24 {
				t.Errorf("it is number %d", ran)
			}
			s.finish(t, ids[0], fences[0], End{Outcome: Succeeded})
		}
		if ran != len(jobs) {
			t.Errorf("%d of %d ran", ran, len(jobs))
		}
	})
}

// TestDeadLine has a slot come free before a line of jobs that were canceled, and of one that can't be
// read.
func TestDeadLine(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		one := Slots{Limit: "t/one", Most: 1}
		s.limits(t, 1, one)
		first := limited("", one.Class("-"))
		dead := make([]NewJob, 2500)
		ids := make([]job.ID, len(dead))
		for i := range dead {
			dead[i] = limited(first.ID, one.Class("-"))
			ids[i] = dead[i].ID
		}
		strange, last := limited(first.ID, one.Class("-")), limited(first.ID, one.Class("-"))
		mustCreate(t, s.Store, first)
		_, errs := s.CreateMany(t.Context(), dead)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, s.Store, strange)
		mustCreate(t, s.Store, last)
		running, fences := s.takes(t, first, 10)
		if _, err := s.CancelMany(t.Context(), ids, "", job.Filter{}); err != nil || len(running) != 1 {
			t.Fatal(err, running)
		}
		s.rdb.Set(t.Context(), s.base(strange.ID)+"x:"+strange.ID.Raw(), "strange", 0)
		s.finish(t, first.ID, fences[0], End{Outcome: Succeeded})
		s.turn(t, 2*time.Second)
		if ids, _ := s.takes(t, first, 10); !slices.Equal(ids, []job.ID{last.ID}) {
			t.Errorf("behind the dead %v start", ids)
		}
	})
}

// TestManyLimits says more limits than a script can unpack.
func TestManyLimits(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		all := make([]Slots, 9000)
		for i := range all {
			all[i] = Slots{Limit: fmt.Sprint("t/", i), Most: 1}
		}
		s.limits(t, 7, all...)
		if rev, err := s.SlotsRev(t.Context()); err != nil || rev != 7 {
			t.Errorf("revision %d, %v", rev, err)
		}
		first := limited("", all[8999].Class("-"))
		second := limited(first.ID, all[8999].Class("-"))
		mustCreate(t, s.Store, first)
		mustCreate(t, s.Store, second)
		if ids, _ := s.takes(t, first, 10); len(ids) != 1 {
			t.Errorf("%d start", len(ids))
		}
	})
}
