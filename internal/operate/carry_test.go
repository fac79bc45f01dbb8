package operate

import (
	"context"
	"testing"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

func (b *bench) begin(action, kind string, limit int64) job.ID {
	b.Helper()
	o, err := b.Bulk(b.Context(), access.Everything, answer.BulkRequest{Action: action, Max: limit,
		Filter: answer.JobFilter{Type: kind, State: string(job.Failed)}}, "test")
	if err != nil {
		b.Fatal(err)
	}
	return o.ID
}

// TestDeleteIsKilled has a page deleted in part and not noted: those jobs count as moved, so that max holds.
func TestDeleteIsKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail("a.job", job.HandlerError, "no", "no", "no", "no")
	id := b.begin(Delete, "a.job", 2)
	c, err := b.claim(t.Context(), id)
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	w, err := b.Store.Walk(t.Context(), c.filter, "")
	if err != nil {
		t.Fatal(err)
	}
	ids, _, err := w.Next(t.Context(), 2)
	if err != nil || len(ids) != 2 {
		t.Fatal(ids, err)
	}
	raw := ids[0].Raw() + ids[1].Raw()
	if err := pageScript.Run(t.Context(), b.Redis, []string{b.opKey(id)}, c.fence, raw,
		w.Cursor()).Err(); err != nil {
		t.Fatal(err)
	}
	if errs, err := b.Store.RemoveMany(t.Context(), ids[:1], c.filter); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	b.carry(t.Context(), id)
	o, err := b.Operation(t.Context(), id)
	if err != nil || o.State != succeeded || o.Moved != 2 || len(o.Skipped) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if n, err := b.Store.Count(t.Context()); err != nil || n != 2 {
		t.Errorf("%d jobs are left, %v", n, err)
	}
}

// TestStandingOperations has as many retries stand as are carried on at once: others get their turn, and
// each can be canceled.
func TestStandingOperations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Desk.Retry = func(context.Context, access.View, job.ID, string) error {
		return httpapi.NewError(httpapi.StoreFull, "no room")
	}
	var standing []job.ID
	for _, kind := range []string{"a.job", "b.job", "c.job", "d.job"} {
		b.fail(kind, job.HandlerError, "no")
		standing = append(standing, b.begin(Retry, kind, 0))
	}
	b.fail("e.job", job.HandlerError, "no")
	id := b.begin(Delete, "e.job", 0)
	b.carryOn()
	if o := b.done(id); o.State != succeeded || o.Moved != 1 {
		t.Errorf("behind those that stand: %+v", o)
	}
	for _, id := range standing {
		if _, err := b.CancelOperation(t.Context(), access.Everything, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range standing {
		if o := b.done(id); o.State != canceled || o.Moved != 0 {
			t.Errorf("one that stood: %+v", o)
		}
	}
}
