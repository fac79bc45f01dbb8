package jobstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// makeJobs makes jobs a second apart until some time ago, the types in turn, and returns their ids, newest
// first.
func makeJobs(t *testing.T, s *Store, n int, ago time.Duration, types ...string) []job.ID {
	t.Helper()
	news := make([]NewJob, n)
	ids := make([]job.ID, n)
	for i := range news {
		news[i] = simple()
		id := job.NewID(time.Now().Add(time.Duration(i-n)*time.Second - ago))
		news[i].ID = id[:len(id)-1] + "0" // of one millisecond a partition tells the order, no more
		news[i].Type = types[i%len(types)]
		ids[n-1-i] = news[i].ID
	}
	_, errs := s.CreateMany(t.Context(), news)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return ids
}

// pages pages through a list, and checks what each page says of itself.
func pages(t *testing.T, s *Store, f job.Filter) (ids []job.ID, scanned, empty int) {
	t.Helper()
	for range 1000 {
		page, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if page.Complete != (page.Next == "") || page.Scanned > maxScan || page.Scanned < len(page.Jobs) ||
			f.Limit > 0 && len(page.Jobs) > f.Limit {
			t.Fatalf("page of %d jobs: next %q, scanned %d, complete %v", len(page.Jobs), page.Next,
				page.Scanned, page.Complete)
		}
		for _, snap := range page.Jobs {
			ids = append(ids, snap.ID)
		}
		scanned += page.Scanned
		if len(page.Jobs) == 0 && !page.Complete {
			empty++
		}
		if page.Complete {
			return ids, scanned, empty
		}
		f.Cursor = page.Next
	}
	t.Fatal("the list has no end")
	return nil, 0, 0
}

func TestList(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	if page, err := s.List(t.Context(), job.Filter{}); err != nil || !page.Complete || page.Scanned != 0 {
		t.Errorf("no jobs: %+v, %v", page, err)
	}
	want := makeJobs(t, s, 45, 0, "test.type0", "test.type1", "test.type2")
	for _, limit := range []int{0, 1, 7, 10, 44, 45, 46, 1000} {
		got, scanned, empty := pages(t, s, job.Filter{Limit: limit})
		if !slices.Equal(got, want) || scanned != len(want) || empty > 0 {
			t.Errorf("limit %d: pages give %v, %d scanned, want %v", limit, got, scanned, want)
		}
	}
	var second []job.ID
	for i, id := range want {
		if (len(want)-1-i)%3 == 1 {
			second = append(second, id)
		}
	}
	for _, limit := range []int{0, 1, 4, 15} {
		if got, _, _ := pages(t, s, job.Filter{Type: "test.type1", State: job.Queued,
			Limit: limit}); !slices.Equal(got, second) {
			t.Errorf("filtered, limit %d: %v, want %v", limit, got, second)
		}
	}
	if got, scanned, _ := pages(t, s, job.Filter{State: job.Failed}); got != nil || scanned != 0 {
		t.Errorf("no such state: %v, %d scanned", got, scanned)
	}
}

// What a filter looks for may lie behind more jobs than one call looks at: the page
// says so, and the pages behind it have it. What has an index is found at once.
func TestListFindsWhatIsOld(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	old := makeJobs(t, s, 3, 24*time.Hour, "test.old")
	makeJobs(t, s, maxScan+1000, 0, "test.new")
	for _, limit := range []int{1, 2, 100, 1000} {
		if got, scanned, _ := pages(t, s, job.Filter{Type: "test.old", Limit: limit}); !slices.Equal(got,
			old) || scanned != len(old) {
			t.Errorf("limit %d: found %v, want %v, %d scanned", limit, got, old, scanned)
		}
	}
	for _, id := range old {
		if _, err := s.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if got, scanned, _ := pages(t, s, job.Filter{State: job.Canceled, Limit: 2}); len(got) != 3 ||
		scanned != 3 {
		t.Errorf("canceled: %v, %d scanned", got, scanned)
	}
	page, err := s.List(t.Context(), job.Filter{State: job.Succeeded, Limit: 1})
	if err != nil || page.Complete || page.Next == "" || page.Scanned == 0 {
		t.Errorf("a page without jobs: scanned %d, complete %v, next %q, %v", page.Scanned, page.Complete,
			page.Next, err)
	}
	if got, _, empty := pages(t, s, job.Filter{State: job.Succeeded, Limit: 1}); got != nil || empty == 0 {
		t.Errorf("succeeded: %v, %d pages without any", got, empty)
	}
}

// TestListOfEachState has some jobs in each state, in one partition and in many: a list of a
// state has them all, and no other.
func TestListOfEachState(t *testing.T) {
	t.Parallel()
	for _, parts := range []int{1, 16} {
		s := New(redistest.Client(t), Config{Prefix: redistest.Prefix(t), Partitions: parts})
		want := map[job.State]map[job.ID]bool{}
		note := func(state job.State, id job.ID) {
			if want[state] == nil {
				want[state] = map[job.ID]bool{}
			}
			want[state][id] = true
		}
		started := func(n NewJob) string {
			fence := NewFence()
			if _, err := s.Start(t.Context(), mustCreate(t, s, n), fence, false); err != nil {
				t.Fatal(err)
			}
			return fence
		}
		end := func(n NewJob, e End) {
			if _, err := s.Finish(t.Context(), n.ID, started(n), e); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 60 {
			n := simple()
			n.Type = []string{"test.a", "test.b"}[i%2]
			if i%3 == 0 {
				n.Lane, n.Priority = job.LaneCPU, job.Low
			}
			state := job.States[i%len(job.States)]
			note(state, n.ID)
			switch state {
			case job.Uploading:
				n.UploadFence = NewFence()
				if i%4 == 0 {
					n.UploadExpiry = time.Hour
				}
				mustCreate(t, s, n)
			case job.Awaiting:
				n.Hold = "why"
				mustCreate(t, s, n)
			case job.Scheduled:
				n.RunAt = time.Now().Add(time.Hour)
				mustCreate(t, s, n)
			case job.Queued:
				mustCreate(t, s, n)
			case job.Running:
				started(n)
			case job.Retrying:
				end(n, End{Outcome: Retry, Delay: time.Hour, Code: job.Timeout})
			case job.Succeeded:
				end(n, End{Outcome: Succeeded})
			case job.Failed:
				end(n, End{Outcome: Failed, Code: "own_code", Message: "no"})
			case job.Canceled:
				mustCreate(t, s, n)
				if err := s.RequestCancel(t.Context(), n.ID); err != nil {
					t.Fatal(err)
				}
			case job.Expired:
				n.ExpiresIn = time.Millisecond
				mustCreate(t, s, n)
				for due := time.Now().Add(5 * time.Millisecond); time.Now().Before(due); {
				}
				expired(t, s, n)
			}
		}
		counts, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range job.States {
			for _, limit := range []int{1, 3, 100} {
				got, _, _ := pages(t, s, job.Filter{State: state, Limit: limit})
				seen := map[job.ID]bool{}
				for _, id := range got {
					seen[id] = true
				}
				if len(got) != len(seen) || !maps.Equal(seen, want[state]) ||
					counts[state] != int64(len(seen)) {
					t.Errorf(
						"%d partitions, %s, limit %d: %d listed, %d of them different, %d wanted, %d counted",
						parts, state, limit, len(got), len(seen), len(want[state]), counts[state])
				}
			}
		}
		failed, err := s.List(t.Context(), job.Filter{State: job.Failed})
		if err != nil || failed.Jobs[0].Error.Code != "own_code" {
			t.Errorf("failed: %+v, %v", failed.Jobs, err)
		}
	}
}

// expired has a worker meet a ticket whose job's time is over.
func expired(t *testing.T, s *Store, n NewJob) {
	t.Helper()
	if _, err := s.Start(t.Context(), job.Ticket{ID: n.ID, Delivery: 1}, NewFence(), false); !errors.Is(err,
		ErrStale) {
		t.Fatal(err)
	}
}

// TestBadCursors refuses what is no cursor of this list.
func TestBadCursors(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	makeJobs(t, s, 3, 0, "test.type")
	page, err := s.List(t.Context(), job.Filter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []job.Filter{
		{Cursor: "x"}, {Cursor: "!"}, {Cursor: page.Next[1:]}, {Cursor: page.Next + "AAAA"},
		{Cursor: page.Next, State: job.Failed}, {Cursor: page.Next, Type: "test.type"},
		{Cursor: string(job.NewID(time.Now()))},
	} {
		if _, err := s.List(t.Context(), f); !errors.Is(err, ErrBadCursor) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// All jobs may lie in one shard: a client that draws its ids itself can have it so.
func TestListOfOneShard(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	var want []job.ID
	for i := range 300 {
		n := simple()
		text := string(job.NewID(time.Now().Add(time.Duration(-i) * time.Second)))
		n.ID = job.ID(text[:len(text)-1] + "7")
		if i == 150 {
			n.ID = job.ID(text[:len(text)-1] + "8")
		}
		mustCreate(t, s, n)
		want = append(want, n.ID)
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 9, 100, 299, 300, 1000} {
		if got, scanned, _ := pages(t, s, job.Filter{Limit: limit}); fmt.Sprint(got) != fmt.Sprint(want) ||
			scanned != 300 {
			t.Errorf("limit %d: %d jobs, %d scanned", limit, len(got), scanned)
		}
	}
}

// All jobs count, whatever their shard and state, until they are gone.
func TestCount(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	count := func(want int64) {
		t.Helper()
		if n, err := s.Count(t.Context()); n != want || err != nil {
			t.Errorf("%d jobs, %v; want %d", n, err, want)
		}
	}
	count(0)
	ids := makeJobs(t, s, 100, 0, "test.type")
	count(100)
	for _, id := range ids[:3] {
		if _, err := s.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	count(100)
	if err := s.Remove(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	count(99)
}

// TestLabels holds that a job shows its labels through its life, is found by each of them, and that one
// without any has no key more.
func TestLabels(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	labels := []job.Labels{{"user": "7", "batch": "x"}, {"user": "70"}, nil}
	ids := make([]job.ID, len(labels))
	for i, l := range labels {
		n := simple()
		n.ID, n.Labels = job.NewIDIn(time.Now(), i), l
		c, err := s.Create(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if snap, ok := c.Snapshot(n); ok && snap.Labels.String() != l.String() {
			t.Errorf("created with %q", snap.Labels)
		}
		ids[i] = n.ID
	}
	if n := s.rdb.Exists(t.Context(), s.base(ids[2])+"x:"+ids[2].Raw()).Val(); n != 0 {
		t.Error("one without labels has rare fields")
	}
	if err := s.RequestCancel(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if snap, err := s.Get(t.Context(), id); err != nil || snap.Labels.String() != labels[i].String() {
			t.Errorf("%q, %v", snap.Labels, err)
		}
	}
	for _, one := range []struct {
		f    job.Filter
		want int
	}{{job.Filter{Label: "user=7"}, 1}, {job.Filter{Label: "batch=x", State: job.Canceled}, 1},
		{job.Filter{Label: "user=70", State: job.Queued}, 1}, {job.Filter{Label: "user=70", State: job.Canceled}, 0},
		{job.Filter{Label: "user=8"}, 0}, {job.Filter{}, 3}} {
		if found, _, _ := pages(t, s, one.f); len(found) != one.want {
			t.Errorf("%+v finds %v", one.f, found)
		}
		if by, exact, err := s.CountMatching(t.Context(), withUntil(one.f), 100); err != nil || !exact ||
			int(by[simple().Type]) != one.want {
			t.Errorf("%+v counts %v, %v, %v", one.f, by, exact, err)
		}
	}
}

func withUntil(f job.Filter) job.Filter {
	f.Until = time.Now().Add(time.Hour)
	return f
}
