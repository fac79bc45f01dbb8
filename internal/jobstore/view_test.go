package jobstore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// owned makes a job of an owner.
func owned(t *testing.T, s *Store, o access.Owner, kind string, change func(*NewJob)) job.ID {
	t.Helper()
	n := simple()
	n.ID, n.Type, n.Owner = job.NewID(time.Now()), kind, o
	if change != nil {
		change(&n)
	}
	c, err := s.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// TestViews has each of some owners see and move his own jobs, by each way, and nobody else's: these are
// as if they were not there.
func TestViews(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	owners := []access.Owner{{}, {Tenant: "acme"}, {Tenant: "other"}, {Tenant: "acme", Subject: "ann"},
		{Tenant: "acme", Subject: "bob"}, {Subject: "ann"}}
	views := s.Views()
	jobs := map[access.Owner]job.ID{}
	for _, o := range owners {
		jobs[o] = owned(t, s, o, "math.primes", nil)
	}
	ctx := t.Context()
	missing := job.NewID(time.Now())
	look := func(by access.View) {
		t.Helper()
		for o, id := range jobs {
			if _, err := views.Get(ctx, by, id); (err == nil) != by.Has(o) ||
				err != nil && !errors.Is(err, job.ErrNotFound) {
				t.Errorf("get %v as %v: %v", o, by, err)
			}
			if r, err := views.Read(ctx, by, id); (err == nil) != by.Has(o) || err == nil &&
				(r.Owner.Of() != o.Of() || r.Owner.Subject != o.Subject) {
				t.Errorf("read %v as %v: %v %v", o, by, r.Owner, err)
			}
			many, err := views.GetMany(ctx, by, []job.ID{id, missing})
			if err != nil || (many[0].Err == nil) != by.Has(o) || many[0].ID != id {
				t.Errorf("get many %v as %v: %v %v", o, by, many, err)
			}
			revs, err := s.Revs(ctx, []job.ID{id})
			if err != nil || by.Sees(revs[0].Tenant, revs[0].Owner) != by.Has(o) {
				t.Errorf("rev of %v as %v: %v %v", o, by, revs, err)
			}
			if by.Has(o) {
				continue
			}
			for name, err := range map[string]error{
				"cancel": views.RequestCancel(ctx, by, id), "remove": views.Remove(ctx, by, id),
				"use":      views.Use(ctx, by, id, missing),
				"callback": func() error { _, err := views.Callback(ctx, by, id); return err }(),
			} {
				if !errors.Is(err, job.ErrNotFound) {
					t.Errorf("%s %v as %v: %v", name, o, by, err)
				}
			}
		}
		for _, f := range []job.Filter{{}, {Type: "math.primes"}, {State: job.Queued},
			{Type: "math.primes", State: job.Queued}, {State: job.Failed}, {Limit: 1}} {
			var got, want []job.ID
			for {
				page, err := views.List(ctx, by, f)
				if err != nil {
					t.Fatalf("list as %v: %v", by, err)
				}
				for _, snap := range page.Jobs {
					got = append(got, snap.ID)
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
			}
			for o, id := range jobs {
				if by.Has(o) && f.State != job.Failed {
					want = append(want, id)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("list %+v as %v: %v, want %v", f, by, got, want)
			}
		}
	}
	look(access.Everything)
	look(access.View{})
	for _, o := range owners {
		look(access.View{Tenant: o.Of(), Subject: o.Subject})
	}
	look(access.View{Tenant: "nobody"})
	// A cursor is good for the list that it is of.
	page, err := views.List(ctx, access.View{Tenant: "acme"}, job.Filter{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("a page: %+v %v", page, err)
	}
	if _, err := views.List(ctx, access.View{Tenant: "other"},
		job.Filter{Limit: 1, Cursor: page.Next}); !errors.Is(
		err, ErrBadCursor) {
		t.Errorf("another tenant's cursor: %v", err)
	}
	// Owners move their jobs.
	for o, id := range jobs {
		by := access.View{Tenant: o.Of(), Subject: o.Subject}
		if snap, err := views.CancelBy(ctx, by, id, ""); err != nil || snap.State != job.Canceled {
			t.Errorf("cancel one's own %v: %v %v", o, snap.State, err)
		}
		if err := views.Remove(ctx, by, id); err != nil {
			t.Errorf("remove one's own %v: %v", o, err)
		}
	}
	if page, err := views.List(ctx, access.View{Tenant: "acme", Subject: "ann"}, job.Filter{}); err != nil ||
		len(page.Jobs) > 0 || page.Scanned > 0 {
		t.Errorf("what is left in the index of an owner: %+v %v", page, err)
	}
}

// TestOwnNames has owners use the same key and the same id: keys are each owner's, an id its first one's.
func TestOwnNames(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	owners := []access.Owner{{}, {Tenant: "acme"}, {Tenant: "acme", Subject: "ann"}, {Subject: "ann"}}
	seen := map[job.ID]bool{}
	for range 2 {
		for _, o := range owners {
			seen[owned(t, s, o, "math.primes", func(n *NewJob) {
				n.IdempotencyKey, n.Digest = "order-7", "same"
				n.ID = DrawID(time.Now(), o, n.IdempotencyKey)
			})] = true
		}
	}
	if len(seen) != len(owners) {
		t.Errorf("%d jobs of one key, want one an owner", len(seen))
	}
	// An upload that ended before its input was whole gives its id free, but not to another.
	id := job.NewID(time.Now())
	n := simple()
	n.ID, n.Claim, n.Digest, n.Owner = id, time.Hour, "a", access.Owner{Tenant: "acme"}
	n.UploadFence = NewFence()
	if _, err := s.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context(), id, n.UploadFence, End{Outcome: Failed,
		Code: job.UploadIncomplete, Message: "gone"}); err != nil {
		t.Fatal(err)
	}
	n.UploadFence, n.Owner, n.Digest = NewFence(), access.Owner{Tenant: "other"}, "b"
	if _, err := s.Create(t.Context(), n); !errors.Is(err, ErrMismatch) {
		t.Errorf("another tenant takes a dead upload's id: %v", err)
	}
	n.Owner = access.Owner{Tenant: "acme"}
	if c, err := s.Create(t.Context(), n); err != nil || !c.New {
		t.Errorf("its own tenant does: %+v %v", c, err)
	}
}
