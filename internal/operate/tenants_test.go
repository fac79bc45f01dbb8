package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestTenantsApart has operators of one tenant find, count and move the jobs of that tenant alone, and see
// its operations alone.
func TestTenantsApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	defer b.carryOn()()
	owners := []access.Owner{{}, {Tenant: "acme"}, {Tenant: "acme", Subject: "ann"}, {Tenant: "other"}}
	ids := map[access.Owner]job.ID{}
	for _, o := range owners {
		n := b.newJob("test.job")
		n.Owner, n.RunAt = o, time.Now().Add(time.Hour)
		if _, err := b.Store.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		ids[o] = n.ID
	}
	acme, ann := access.View{Tenant: "acme"}, access.View{Tenant: "acme", Subject: "ann"}
	for by, want := range map[access.View]int64{access.Everything: 4, acme: 2, {Tenant: "nobody"}: 0, {}: 0} {
		if counts, err := b.Counts(t.Context(), by, ""); err != nil || counts.Total != want {
			t.Errorf("counts of %v: %+v %v, want %d", by, counts, err, want)
		}
	}
	if _, err := b.Counts(t.Context(), ann, ""); refusalCode(err) != httpapi.Forbidden {
		t.Errorf("counts of one user: %v", err)
	}
	for _, id := range []job.ID{ids[owners[0]], ids[owners[3]]} {
		_, payload := b.Payload(t.Context(), acme, id)
		_, timeline := b.Timeline(t.Context(), acme, id)
		_, _, _, _, logs := b.Logs(t.Context(), acme, id, 0)
		if !errors.Is(payload, job.ErrNotFound) || !errors.Is(timeline, job.ErrNotFound) ||
			!errors.Is(logs, job.ErrNotFound) {
			t.Errorf("another tenant's job: %v %v %v", payload, timeline, logs)
		}
	}
	cancel := answer.BulkRequest{Action: "cancel", Filter: answer.JobFilter{State: "scheduled"}}
	others := cancel
	others.Filter.Tenant = "other"
	if _, err := b.Bulk(t.Context(), acme, others, "x"); refusalCode(err) != httpapi.Forbidden {
		t.Errorf("a filter of another tenant: %v", err)
	}
	if dry, err := b.DryRun(t.Context(), ann, cancel); err != nil || dry.N != 1 {
		t.Errorf("a dry run of one user: %+v %v", dry, err)
	}
	o, err := b.Bulk(t.Context(), acme, cancel, "x")
	if err != nil || o.N != 2 {
		t.Fatalf("begun: %+v %v", o, err)
	}
	if done := b.done(o.ID); done.Moved != 2 {
		t.Errorf("done: %+v", done)
	}
	for owner, id := range ids {
		snap, err := b.Store.Get(t.Context(), id)
		if err != nil || (snap.State == job.Canceled) != acme.Has(owner) {
			t.Errorf("%v is %v, %v", owner, snap.State, err)
		}
	}
	for by, want := range map[access.View]int{access.Everything: 1, acme: 1, ann: 0, {Tenant: "other"}: 0} {
		if list, err := b.Operations(t.Context(), by, 10); err != nil || len(list.Operations) != want {
			t.Errorf("operations that %v sees: %+v %v", by, list, err)
		}
		_, err := b.WaitOperation(t.Context(), by, o.ID, 0, 0)
		_, err2 := b.CancelOperation(t.Context(), by, o.ID)
		if (err == nil) != (want == 1) || (err2 == nil) != (want == 1) {
			t.Errorf("the operation as %v: %v %v", by, err, err2)
		}
	}
}

// TestFullTableOfHeads holds that the usual tenant's failures and retries are its own, although the table
// that tells whose jobs are of a family is full, so that the records alone do.
func TestFullTableOfHeads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const full = 4096
	fill := make([]any, 0, 2*full)
	for i := range full {
		fill = append(fill, fmt.Sprintf("%08d", i), fmt.Sprintf("%08dio-default 1 1 1 1 default x%d", i, i))
	}
	if err := b.Redis.HSet(t.Context(), b.Prefix+":{0}:heads", fill...).Err(); err != nil {
		t.Fatal(err)
	}
	usual := access.View{Tenant: access.DefaultTenant}
	of := map[access.Owner][]job.ID{}
	for _, o := range []access.Owner{{}, {Tenant: "acme"}} {
		of[o] = b.failOf(o, "test.job", job.HandlerError, "a", "b")
	}
	list, err := b.Failures(t.Context(), usual, job.Filter{})
	if err != nil || len(list.Groups) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, g := range list.Groups {
		if g.N != 1 || !slices.Contains(of[access.Owner{}], g.Samples[0]) {
			t.Errorf("a group has %+v", g)
		}
	}
	var mu sync.Mutex
	var views []access.View
	retry := b.Desk.Retry
	b.Desk.Retry = func(ctx context.Context, view access.View, id job.ID, by string) error {
		mu.Lock()
		views = append(views, view)
		mu.Unlock()
		return retry(ctx, view, id, by)
	}
	ask := answer.BulkRequest{Action: Retry, Filter: answer.JobFilter{State: "failed"}}
	if dry, err := b.DryRun(t.Context(), usual, ask); err != nil || dry.N != 2 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	o, err := b.Bulk(t.Context(), usual, ask, "x")
	if err != nil {
		t.Fatal(err)
	}
	stop := b.carryOn()
	o = b.done(o.ID)
	stop()
	if o.Moved != 2 || len(views) != 2 || views[0] != usual {
		t.Errorf("%+v, retried for %v", o, views)
	}
	for _, id := range of[access.Owner{Tenant: "acme"}] {
		if snap, err := b.Store.Get(t.Context(), id); err != nil || snap.RetriedAs != "" {
			t.Errorf("another tenant's job was retried: %+v, %v", snap, err)
		}
	}
}
