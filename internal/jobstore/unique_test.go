package jobstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// uniqueJob is a job of a key.
func uniqueJob(u Unique) NewJob {
	n := simple()
	n.Unique, n.ID = u, DrawUniqueID(time.Now(), access.Owner{}, u.Key)
	return n
}

// TestUniqueUntil has a key taken until its job has started, ended or is removed, whichever way that comes.
func TestUniqueUntil(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		for until, free := range map[string][]bool{ // queued, running, ended, removed
			UntilStarted: {false, true, true, true}, UntilEnded: {false, false, true, true},
			UntilRemoved: {false, false, false, true}} {
			for i, want := range free {
				u := Unique{Key: fmt.Sprint(until, i), Until: until}
				first := uniqueJob(u)
				mustCreate(t, s.Store, first)
				if i > 0 {
					ids, fences := s.takes(t, first, 100)
					for k, id := range ids {
						if id == first.ID && i > 1 {
							s.finish(t, id, fences[k], End{Outcome: Succeeded})
						}
					}
				}
				if i == 3 {
					if err := s.Remove(t.Context(), first.ID); err != nil {
						t.Fatal(err)
					}
					if n := s.rdb.Exists(t.Context(), s.base(first.ID)+"k:"+u.field(access.Owner{})[2:]).Val(); n != 0 {
						t.Error("the key of a removed job stays")
					}
				}
				c, err := s.Create(t.Context(), uniqueJob(u))
				if err != nil || c.New != want || !want && c.ID != first.ID {
					t.Errorf("until %s, step %d: %+v, %v", until, i, c, err)
				}
				u.Else = ElseRefuse
				var duplicate *DuplicateError
				if _, err := s.Create(t.Context(), uniqueJob(u)); !errors.As(err, &duplicate) ||
					duplicate.ID != c.ID {
					t.Errorf("until %s, step %d: refused with %v", until, i, err)
				}
				other := uniqueJob(u)
				other.Owner = access.Owner{Tenant: "acme"}
				other.ID = DrawUniqueID(time.Now(), other.Owner, u.Key)
				if c, err := s.Create(t.Context(), other); err != nil || !c.New {
					t.Errorf("another tenant's: %+v, %v", c, err)
				}
			}
		}
	})
}

// TestUniqueInOneCall makes three of a key in one call, and one of another with an idempotency key beside,
// whose repeat finds it also when the key is free again.
func TestUniqueInOneCall(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		u := Unique{Key: "a"}
		jobs := []NewJob{uniqueJob(u), uniqueJob(u), uniqueJob(u)}
		created, errs := s.CreateMany(t.Context(), jobs)
		for i, c := range created {
			if errs[i] != nil || c.New != (i == 0) || c.ID != jobs[0].ID {
				t.Errorf("%d: %+v, %v", i, c, errs[i])
			}
		}
		keyed := uniqueJob(Unique{Key: "b"})
		keyed.IdempotencyKey, keyed.Digest = "once", "digest"
		mustCreate(t, s.Store, keyed)
		_, fences := s.takes(t, jobs[0], 100)
		if s.part(keyed.ID) != s.part(jobs[0].ID) {
			_, fences = s.takes(t, keyed, 100)
		}
		s.finish(t, keyed.ID, fences[len(fences)-1], End{Outcome: Succeeded})
		again := keyed
		again.ID = DrawUniqueID(time.Now(), access.Owner{}, "b")
		if c, err := s.Create(t.Context(), again); err != nil || c.New || c.ID != keyed.ID {
			t.Errorf("a repeat: %+v, %v", c, err)
		}
	})
}

// TestReplace puts a job off, again and again, until its time is over; what comes last is done, once.
func TestReplace(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		u := Unique{Key: "index", Until: UntilStarted, Else: ElseReplace, MaxWait: time.Minute}
		first := uniqueJob(u)
		put := func(i int, at time.Duration, priority job.Priority) Created {
			t.Helper()
			n := uniqueJob(u)
			n.Spec.Payload, n.Priority = payloadOf(20+i), priority
			if at > 0 {
				n.RunAt = time.UnixMilli(s.now).Add(at)
			}
			c, err := s.Create(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := put(0, 10*time.Second, first.Priority)
		id, begun := c.ID, s.now
		for i := 1; i < 10; i++ {
			s.turn(t, 8*time.Second)
			if c := put(i, 10*time.Second, first.Priority); c.ID != id && s.now-begun < 60_000 {
				t.Fatalf("another job after %d ms", s.now-begun)
			}
			if state := s.state(t, id); s.now-begun < 60_000 && state.State != job.Scheduled {
				t.Fatalf("%s after %d ms", state.State, s.now-begun)
			}
			if s.now-begun >= 60_000 {
				break
			}
		}
		if state := s.state(t, id); state.State != job.Queued {
			t.Fatalf("%s after max_wait", state.State)
		}
		// Before it runs: other words, another queue, and both again. One ticket counts.
		for i, priority := range []job.Priority{job.High, first.Priority, job.High, job.High} {
			if c := put(30+i, 0, priority); c.New || c.ID != id {
				t.Fatalf("%d: %+v", i, c)
			}
		}
		first.ID, first.Priority = id, job.Low
		if ids, _ := s.takes(t, first, 10); len(ids) > 0 {
			t.Errorf("in a queue that it isn't in: %v", ids)
		}
		first.Priority = job.Default
		if ids, _ := s.takes(t, first, 10); len(ids) > 0 {
			t.Errorf("by an old ticket: %v", ids)
		}
		first.Priority = job.High
		claims, _, err := s.NewClaimer([]string{first.Type}).Claim(t.Context(), first.Place(),
			s.part(id), 10)
		if err != nil || len(claims) != 1 || string(claims[0].Started.Spec.Payload) != string(payloadOf(53)) {
			t.Fatalf("%+v, %v", claims, err)
		}
		if c := put(40, 0, job.High); !c.New {
			t.Error("what has begun was replaced")
		}
	})
}

// TestUniqueHolds makes, starts, ends, cancels, loses and removes jobs of three keys at random: there are
// never two of a key.
func TestUniqueHolds(t *testing.T) {
	t.Parallel()
	overParts(t, func(t *testing.T, s *turned) {
		if n := uniqueRandom(t, s, 300); n > 0 {
			t.Errorf("%d times there were two of a key", n)
		}
	})
}

// uniqueRandom returns how often there were two jobs of one key.
func uniqueRandom(t *testing.T, s *turned, steps int) (twice int) {
	rng := rand.New(rand.NewPCG(5, 5))
	type made struct {
		NewJob
		fence string
	}
	var jobs []*made
	past := func(m *made) bool {
		r, err := s.Read(t.Context(), m.ID)
		return err != nil || m.Unique.Until == UntilStarted && r.Snapshot.StartedAt != nil ||
			m.Unique.Until != UntilRemoved && r.Snapshot.Done
	}
	for range steps {
		switch what := rng.IntN(8); what {
		case 0, 1, 2:
			u := Unique{Key: fmt.Sprint(rng.IntN(3)), Until: []string{UntilStarted, UntilEnded,
				UntilRemoved}[rng.IntN(3)], Else: []string{ElseReturn, ElseRefuse}[rng.IntN(2)]}
			n := uniqueJob(u)
			if rng.IntN(3) == 0 {
				n.RunAt = time.UnixMilli(s.now).Add(time.Second)
			}
			if c, err := s.Create(t.Context(), n); err == nil && c.New {
				jobs = append(jobs, &made{NewJob: n})
			}
		case 3, 4, 5:
			for _, m := range jobs {
				ids, fences := s.takes(t, m.NewJob, 1)
				for i, id := range ids {
					for _, other := range jobs {
						if other.ID == id {
							other.fence = fences[i]
						}
					}
				}
				if m.fence != "" && rng.IntN(2) == 0 {
					end := End{Outcome: []Outcome{Succeeded, Retry, Release}[rng.IntN(3)],
						Code: job.HandlerError, Delay: time.Second}
					_, _ = s.Finish(t.Context(), m.ID, m.fence, end) // it may have been lost
				}
			}
		case 6:
			s.turn(t, time.Duration(rng.IntN(20))*time.Second)
		default:
			if len(jobs) > 0 {
				id := jobs[rng.IntN(len(jobs))].ID
				_, _ = s.Cancel(t.Context(), id)
				_ = s.Remove(t.Context(), id)
			}
		}
		open := map[string]int{}
		for _, m := range jobs {
			if !past(m) {
				if open[m.Unique.Key]++; open[m.Unique.Key] > 1 {
					twice++
				}
			}
		}
	}
	if len(jobs) < 20 {
		t.Errorf("invalid run: only %d were made", len(jobs))
	}
	return twice
}

// TestUniqueNotices leaves a rule out, and wants two of a key.
func TestUniqueNotices(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"no holder":        {"if not j then return nil end\n  local how", "if true then return nil end\n  local how"},
		"free too early":   {"till ~= 'r' and TERMINAL[j.s]", "true"},
		"freed by a start": {"till == 's' and (", "("},
		"key not kept":     {"todo(2, 'SET', P .. 'k:' .. sub(uk, 3, 18), id)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := turnedStore(t)
			left := false
			parts := len(s.bases)
			s.load(words{prefix: s.prefix, now: turnedTime, parts: parts, edit: func(src string) string {
				left = left || strings.Contains(src, change[0])
				return strings.ReplaceAll(src, change[0], change[1])
			}})
			if !left {
				t.Fatal("the rule is in no script")
			}
			if uniqueRandom(t, s, 300) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}
