package jobstore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// storeOver is a turned store of so many partitions.
func storeOver(t *testing.T, parts int) *turned {
	t.Helper()
	store := New(redistest.Client(t), Config{Prefix: redistest.Prefix(t), Turned: true, Partitions: parts})
	s := &turned{Store: store, queue: handQueue{store}, now: 1_700_000_000_000}
	s.sweeper = &Sweeper{Store: store, Log: slog.New(slog.DiscardHandler)}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.set(t)
	return s
}

// dumpOf is a dump, as files have it.
func dumpOf(t *testing.T, s *Store) (list []*Dumped, sum DumpSum) {
	t.Helper()
	sum, err := s.Dump(t.Context(), func(d *Dumped) error {
		text, err := json.Marshal(d.Kept)
		if err != nil {
			return err
		}
		d.Kept = Kept{}
		list = append(list, d)
		return json.Unmarshal(text, &d.Kept)
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, sum
}

// restored puts a dump into a store, of which up to so many jobs are made at first.
func restored(t *testing.T, from, to *Store, list []*Dumped, first int) {
	t.Helper()
	batches := map[job.ID]KeptBatch{}
	for _, d := range list {
		if d.Batch != nil {
			batches[d.ID] = *d.Batch
		}
	}
	ids := map[job.ID]bool{}
	for _, d := range list {
		if ids[d.ID] {
			t.Errorf("%s comes twice", d.ID)
		}
		ids[d.ID] = true
	}
	for run := range 2 {
		if going, err := to.Vacant(t.Context(), "b1"); err != nil || going != (run == 1) {
			t.Fatalf("run %d: going %v, %v", run, going, err)
		}
		r, err := to.BeginRestore(t.Context(), "b1", "epoch")
		if err != nil {
			t.Fatal(err)
		}
		if err := to.ShareBatches(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		for i, d := range list {
			if run == 0 && i == first {
				break
			}
			if err := r.Add(int64(i+1), &d.Kept); err != nil {
				t.Fatal(err)
			}
		}
		made, bad, err := r.Flush()
		if want := []int{first, len(list) - first}[run]; int(made) != want || bad > 0 || err != nil {
			t.Fatalf("run %d: made %d of %d, bad %d, %v", run, made, want, bad, err)
		}
	}
	for _, d := range list {
		letters, err := from.Letters(t.Context(), d.After)
		if err == nil {
			err = to.RestoreAfter(t.Context(), d.ID, d.Tenant, d.After, letters)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(to.SealBatches(t.Context(), batches), to.EndRestore(t.Context(), "b1")); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Vacant(t.Context(), "b1"); !errors.Is(err, ErrRestored) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := to.Vacant(t.Context(), "b2"); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("another one: %v", err)
	}
}

// TestBackup moves jobs of all kinds from some partitions to others: each is as it was, and comes to the
// same end.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{{1, 1}, {1, 16}, {16, 1}} {
		t.Run(fmt.Sprintf("%d to %d", c[0], c[1]), func(t *testing.T) {
			t.Parallel()
			testBackup(t, storeOver(t, c[0]), storeOver(t, c[1]))
		})
	}
}

func testBackup(t *testing.T, from, to *turned) {
	jobs := map[string]NewJob{}
	add := func(name string, change func(n *NewJob)) NewJob {
		n := simple()
		if change != nil {
			change(&n)
		}
		create := from.Create
		if n.Type == job.BatchType {
			create = from.OpenBatch
		}
		if c, err := create(t.Context(), n); err != nil || !c.New {
			t.Fatalf("%s: %+v, %v", name, c, err)
		}
		jobs[name] = n
		return n
	}
	payload := func(n int) json.RawMessage {
		text, _ := json.Marshal(map[string]string{"x": string(make([]byte, n))})
		return text
	}
	for i := range 300 {
		add(fmt.Sprint("plain ", i), func(n *NewJob) { n.Spec.Payload = payload(i % 50) })
	}
	add("long", func(n *NewJob) { n.Spec.Payload = payload(5000) })
	add("file", func(n *NewJob) { n.Spec.Input = &Input{Blob: Folder(n.ID) + "/in", Size: 3, SHA256: "h"} })
	add("later", func(n *NewJob) { n.RunAt = time.UnixMilli(from.now).Add(time.Hour) })
	add("held", func(n *NewJob) { n.Hold = "why" })
	if err := from.Enroll(t.Context(), "mailers"); err != nil {
		t.Fatal(err)
	}
	add("queue", func(n *NewJob) { n.Queue = "mailers" })
	add("no input soon", func(n *NewJob) {
		n.DeleteInput, n.Spec.Input = job.DeleteAtEnd, &Input{Blob: Folder(n.ID) + "/in", Size: 3, SHA256: "h"}
	})
	add("expires", func(n *NewJob) { n.ExpiresIn = time.Minute })
	add("labels", func(n *NewJob) { n.Labels = job.Labels{"a": "b"} })
	owner := access.Owner{Tenant: "acme", Subject: "ada"}
	add("owned", func(n *NewJob) { n.Owner = owner })
	add("keyed", func(n *NewJob) {
		n.IdempotencyKey, n.Owner = "k1", owner
		n.ID = DrawID(time.Now(), owner, "k1")
	})
	add("chosen", func(n *NewJob) { n.Claim, n.Digest = time.Hour, "mine" })
	unique := Unique{Key: "u", Until: UntilEnded, Else: ElseReturn}
	add("unique", func(n *NewJob) {
		n.Unique, n.ID = unique, DrawUniqueID(time.Now(), access.Owner{}, "u")
	})
	add("callback", func(n *NewJob) { n.CallbackURL = hook })
	before := add("before", nil)
	gone := add("ended", nil)
	add("after", func(n *NewJob) { n.After = []job.ID{before.ID, gone.ID} })
	add("sealed", func(n *NewJob) { n.Spec.Payload, n.Spec.Sealed = []byte(`{"p":"seal"}`), []string{"/p"} })
	batchOf := func(name string) NewJob {
		return add(name, func(n *NewJob) { n.Type, n.ExpiresIn, n.Name = job.BatchType, time.Hour, name })
	}
	open, closed := batchOf("open batch"), batchOf("closed batch")
	for i := range 20 {
		add(fmt.Sprint("in ", i), func(n *NewJob) { n.Batch, n.Name = []NewJob{open, closed}[i%2].ID, fmt.Sprint("n", i) })
	}
	if _, err := from.Views().CloseBatch(t.Context(), access.Everything, closed.ID, ""); err != nil {
		t.Fatal(err)
	}
	ends := func(name string, e End) {
		n := jobs[name]
		fence := NewFence()
		if _, err := from.Start(t.Context(), job.Ticket{ID: n.ID, Delivery: 1, Type: n.Type, Lane: n.Lane,
			Priority: n.Priority}, fence, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e.Outcome == "" {
			return
		}
		if _, err := from.Finish(t.Context(), n.ID, fence, e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for i := range 10 {
		ends(fmt.Sprint("plain ", i), End{Outcome: Succeeded})
	}
	ends("plain 10", End{})
	ends("plain 11", End{})
	ends("plain 12", End{Outcome: Retry, Delay: time.Minute, Message: "no", Code: job.HandlerError})
	ends("ended", End{Outcome: Succeeded})
	ends("in 0", End{Outcome: Succeeded, Result: []byte(`{"n":1}`)})
	ends("in 1", End{Outcome: Failed, Code: job.HandlerError})
	owes := add("owes", func(n *NewJob) { n.CallbackURL = hook })
	ends("owes", End{Outcome: Succeeded, Result: payload(500)})
	if _, err := from.Cancel(t.Context(), jobs["plain 11"].ID); err != nil {
		t.Fatal(err)
	}

	list, sum := dumpOf(t, from.Store)
	if sum != (DumpSum{}) || len(list) != len(jobs)-11 {
		t.Fatalf("%d jobs of %d, %+v", len(list), len(jobs), sum)
	}
	if !slices.IsSortedFunc(list, func(a, b *Dumped) int {
		return cmp.Compare(created(t, a), created(t, b))
	}) {
		t.Error("they are not in order")
	}
	restored(t, from.Store, to.Store, list, 250)
	moved := map[job.ID]bool{}
	for _, d := range list {
		moved[d.ID] = true
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		n := jobs[name]
		was, err := from.Read(t.Context(), n.ID)
		if err != nil {
			t.Fatal(err)
		}
		is, err := to.Read(t.Context(), n.ID)
		if !moved[n.ID] {
			if !errors.Is(err, job.ErrNotFound) || !was.Snapshot.Done {
				t.Errorf("%s, %s: %v", name, was.Snapshot.State, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareMoved(t, name, was, is)
	}
	if err := to.rdb.ZScore(t.Context(), to.queuesKey(), "mailers").Err(); err != nil {
		t.Errorf("the queue isn't there: %v", err)
	}
	if c, err := to.Create(t.Context(), jobs["keyed"]); err != nil || c.New || c.ID != jobs["keyed"].ID {
		t.Errorf("the same idempotency key: %+v, %v", c, err)
	}
	again := simple()
	again.Unique, again.ID = unique, DrawUniqueID(time.Now(), access.Owner{}, "u")
	if c, err := to.Create(t.Context(), again); err != nil || c.New || c.ID != jobs["unique"].ID {
		t.Errorf("the same unique key: %+v, %v", c, err)
	}
	if cb := to.callback(t, owes.ID); cb.State != job.CallbackPending {
		t.Errorf("callback owed: %+v", cb)
	}
	allEnd(t, to, jobs, moved)
}

func created(t *testing.T, d *Dumped) int64 {
	r, err := parseRecord(string(d.Record))
	if err != nil {
		t.Fatal(err)
	}
	return r.created
}

// compareMoved compares a job before and after.
func compareMoved(t *testing.T, name string, was, is Record) {
	t.Helper()
	switch name {
	case "plain 10": // it ran
		if is.Snapshot.State != job.Queued || is.Snapshot.Attempt != 0 ||
			is.Snapshot.Rev <= was.Snapshot.Rev || is.Delivery <= was.Delivery {
			t.Errorf("%s is %+v", name, is.Snapshot)
		}
		return
	case "plain 11": // and was to be canceled
		if is.Snapshot.State != job.Canceled {
			t.Errorf("%s is %+v", name, is.Snapshot)
		}
		return
	case "after", "open batch", "closed batch": // they hear of ends
		was.Snapshot.Rev, was.Snapshot.After = is.Snapshot.Rev, is.Snapshot.After
		was.Snapshot.Jobs = is.Snapshot.Jobs
	}
	was.Snapshot.CreatedAt = was.Snapshot.CreatedAt.Truncate(time.Minute) // jobs of one moment are told apart
	is.Snapshot.CreatedAt = is.Snapshot.CreatedAt.Truncate(time.Minute)
	if diff := gocmp.Diff(was, is); diff != "" {
		t.Errorf("%s has changed:\n%s", name, diff)
	}
}

// allEnd runs all jobs, and compares how many there are with what is counted.
func allEnd(t *testing.T, s *turned, jobs map[string]NewJob, moved map[job.ID]bool) {
	t.Helper()
	if _, err := s.Views().Release(t.Context(), access.Everything, jobs["held"].ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Views().CloseBatch(t.Context(), access.Everything, jobs["open batch"].ID, ""); err != nil {
		t.Fatal(err)
	}
	runAll := func() (n int) {
		for _, kind := range []string{"test.job"} {
			for part := range s.bases {
				places, err := s.Places(t.Context(), part)
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range places {
					claims, _, err := s.NewClaimer([]string{kind}).Claim(t.Context(), at, part, 1000)
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range claims {
						n++
						s.finish(t, c.Ticket.ID, c.Fence, End{Outcome: Succeeded})
					}
				}
			}
		}
		return n
	}
	for range 4 { // what waits for a time, or for another one, too
		for runAll() > 0 {
		}
		s.turn(t, 31*time.Minute)
	}
	for name, n := range jobs {
		if !moved[n.ID] {
			continue
		}
		snap, err := s.Get(t.Context(), n.ID)
		if errors.Is(err, job.ErrNotFound) {
			continue // its retention is over
		}
		if err != nil || !snap.Done {
			t.Errorf("%s: %s, %v", name, snap.State, err)
		}
	}
}

// TestTwoRestores holds that the restore of one backup doesn't go on where that of another was begun, even if
// both have looked before either began.
func TestTwoRestores(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	for _, backup := range []string{"b1", "b2"} {
		if going, err := s.Vacant(t.Context(), backup); going || err != nil {
			t.Fatalf("%s: %v, %v", backup, going, err)
		}
	}
	first, err := s.BeginRestore(t.Context(), "b1", "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()
	if r, err := s.BeginRestore(t.Context(), "b2", ""); !errors.Is(err, ErrOtherBackup) {
		t.Errorf("b2 goes on: %v", err)
		r.Stop()
	}
}

// TestRestoreMakesOnce holds that a restore that goes on doesn't make again what has gone since it was made.
func TestRestoreMakesOnce(t *testing.T) {
	t.Parallel()
	from, to, n := turnedStore(t), turnedStore(t), simple()
	mustCreate(t, from.Store, n)
	var kept *Kept
	if _, err := from.Dump(t.Context(), func(d *Dumped) error { kept = &d.Kept; return nil }); err != nil {
		t.Fatal(err)
	}
	for run, want := range []int64{1, 0} {
		r, err := to.BeginRestore(t.Context(), "b1", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add(1, kept); err != nil {
			t.Fatal(err)
		}
		if made, _, err := r.Flush(); made != want || err != nil {
			t.Errorf("run %d: made %d, %v", run, made, err)
		}
		to.rdb.Del(t.Context(), to.key(n.ID))
	}
}
