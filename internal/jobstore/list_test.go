package jobstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"longshore/job"
)

// makeJobs makes jobs a second apart until some time ago, the types in turn, and returns their ids, newest first.
func makeJobs(t *testing.T, s *Store, n int, ago time.Duration, types ...string) []job.ID {
	t.Helper()
	news := make([]NewJob, n)
	ids := make([]job.ID, n)
	for i := range news {
		news[i] = simple()
		news[i].ID = job.NewID(time.Now().Add(time.Duration(i-n)*time.Second - ago))
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
			t.Fatalf("page of %d jobs: next %q, scanned %d, complete %v", len(page.Jobs), page.Next, page.Scanned, page.Complete)
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
		f.Before = page.Next
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
		if got, _, _ := pages(t, s, job.Filter{Type: "test.type1", State: job.Queued, Limit: limit}); !slices.Equal(got, second) {
			t.Errorf("filtered, limit %d: %v, want %v", limit, got, second)
		}
	}
	if got, scanned, _ := pages(t, s, job.Filter{State: job.Failed}); got != nil || scanned != len(want) {
		t.Errorf("no such state: %v, %d scanned", got, scanned)
	}
}

// What a filter looks for may lie behind more jobs than one call looks at: the page
// says so, and the pages behind it have it.
func TestListFindsWhatIsOld(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	old := makeJobs(t, s, 3, 24*time.Hour, "test.old")
	makeJobs(t, s, maxScan+1000, 0, "test.new")
	for _, limit := range []int{1, 2, 100, 1000} {
		got, _, empty := pages(t, s, job.Filter{Type: "test.old", Limit: limit})
		if !slices.Equal(got, old) || empty == 0 {
			t.Errorf("limit %d: found %v, want %v, after %d pages without any", limit, got, old, empty)
		}
	}
	page, err := s.List(t.Context(), job.Filter{State: job.Failed, Limit: 1})
	if err != nil || page.Complete || page.Next == "" || page.Scanned == 0 {
		t.Errorf("a page without jobs: scanned %d, complete %v, next %q, %v", page.Scanned, page.Complete, page.Next, err)
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
	for _, limit := range []int{1, 9, 100, 299, 300, 1000} {
		if got, scanned, _ := pages(t, s, job.Filter{Limit: limit}); fmt.Sprint(got) != fmt.Sprint(want) || scanned != 300 {
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
