package jobstore

import (
	"errors"
	"maps"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

func keyed(key, digest string) NewJob {
	n := simple()
	n.ID, n.IdempotencyKey, n.Digest = DrawID(time.Now(), access.Owner{}, key), key, digest
	return n
}

// TestKeyedInOneCall holds that the short way of creation answers for keys as
// the long one does, whatever else is in the call.
func TestKeyedInOneCall(t *testing.T) {
	t.Parallel()
	a := keyed("a", "d")
	sameID, unkeyed := a, a
	sameID.IdempotencyKey, sameID.Digest = "a's other", "e"
	unkeyed.IdempotencyKey = ""
	gone := keyed("gone", "d")
	type answer struct {
		id  job.ID
		new bool
		err error
	}
	isNew := func(n NewJob) answer { return answer{n.ID, true, nil} }
	exists := func(n NewJob) answer { return answer{n.ID, false, nil} }
	mismatch := answer{"", false, ErrMismatch}
	for name, c := range map[string]struct {
		before, jobs []NewJob
		want         []answer
	}{
		"key twice":                 {nil, []NewJob{a, keyed("a", "d")}, []answer{isNew(a), exists(a)}},
		"key twice, another digest": {nil, []NewJob{a, keyed("a", "e")}, []answer{isNew(a), mismatch}},
		"job twice":                 {nil, []NewJob{a, a}, []answer{isNew(a), exists(a)}},
		"key there": {[]NewJob{a}, []NewJob{keyed("a", "d"), keyed("a", "e"), a},
			[]answer{exists(a), mismatch, exists(a)}},
		"id there under another key": {[]NewJob{a}, []NewJob{sameID}, []answer{mismatch}},
		"id twice under two keys":    {nil, []NewJob{a, sameID}, []answer{isNew(a), mismatch}},
		"id twice, once unkeyed":     {nil, []NewJob{a, unkeyed}, []answer{isNew(a), mismatch}},
		"key of a record that went":  {nil, []NewJob{gone}, []answer{isNew(gone)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStore(t)
			claim := s.base(gone.ID) + "i:" + claimHash(access.Owner{}, "gone")
			if err := s.rdb.Set(t.Context(), claim, keyed("gone", "").ID.Raw()+digestBytes("d"), 0).
				Err(); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.before {
				mustCreate(t, s, n)
			}
			created, errs := s.CreateMany(t.Context(), c.jobs)
			for i, want := range c.want {
				got := answer{created[i].ID, created[i].New, errs[i]}
				if got.id != want.id || got.new != want.new || !errors.Is(got.err, want.err) {
					t.Errorf("job %d: %+v, want %+v", i, got, want)
				}
			}
			first := c.want[0].id
			if len(c.before) > 0 {
				first = c.before[0].ID
			}
			if snap, err := s.Get(t.Context(), first); err != nil || snap.Rev != 1 ||
				snap.State != job.Queued {
				t.Errorf("job %+v, %v", snap, err)
			}
			if kept, found := s.books(t.Context(), 0); !maps.Equal(kept, found) {
				t.Errorf("counted %v, there are %v", kept, found)
			}
		})
	}
}
