package operate

import (
	"fmt"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// TestBulkChange changes those that wait, and keeps the filter where no older release finds it: it would take
// an action that it doesn't know for a retry.
func TestBulkChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.newJob("test.job")
	if _, err := b.Store.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	ended := b.fail("test.job", job.HandlerError, "no")
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	n2 := b.newJob("test.job")
	if _, err := b.Store.Create(t.Context(), n2); err != nil {
		t.Fatal(err)
	}
	o, err := b.Bulk(t.Context(), access.Everything, answer.BulkRequest{Action: Change,
		Filter: answer.JobFilter{Type: "test.job"},
		Change: &answer.BulkChange{Priority: "high", RunAt: later.Format(time.RFC3339)}}, "me")
	if err != nil || o.Change == nil || o.Change.Priority != "high" || o.Filter == nil {
		t.Fatalf("%+v, %v", o, err)
	}
	for _, field := range []string{filterField, labelField} {
		if b.Redis.HExists(t.Context(), b.opKey(o.ID), field).Val() {
			t.Errorf("an older release finds the filter in %s", field)
		}
	}
	b.carryOn()
	o = b.done(o.ID)
	if o.State != succeeded || o.Moved < 1 || o.Skipped["moved_on"] < 1 || b.retries.Load() != 0 {
		t.Errorf("%+v", o)
	}
	snap, err := b.Store.Get(t.Context(), n2.ID)
	if err != nil || snap.State != job.Scheduled || snap.Priority != job.High || !snap.RunAt.Equal(later) {
		t.Errorf("%+v, %v", snap, err)
	}
	if snap, err := b.Store.Get(t.Context(), ended[0]); err != nil || snap.State != job.Failed {
		t.Errorf("%+v, %v", snap, err)
	}
	told, err := b.Timeline(t.Context(), access.Everything, n2.ID)
	if err != nil || len(told.Entries) < 2 || told.Entries[1].What != "changed" ||
		told.Entries[1].Message != "priority high, run_at "+later.Format(time.RFC3339) ||
		told.Entries[1].By != "op:"+string(o.ID) {
		t.Errorf("%+v, %v", told, err)
	}
}

// TestChangedText is what a story's line says, for people.
func TestChangedText(t *testing.T) {
	t.Parallel()
	for about, want := range map[string]string{
		"priority=low,timeout=60000,max_attempts=9,retention=3600000 ann b": "" +
			"priority low, timeout 1m, max_attempts 9, retention 1h",
		"run_at=0,expires_at=0,labels ": "run_at now, expires_at never, labels",
	} {
		if got, _ := changed(about); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, by := changed("labels ann b"); by != "ann b" {
		t.Errorf("by %q", by)
	}
}

// TestBulkChangeManyQueues ends a change into a queue that can't come to be, and says why.
func TestBulkChangeManyQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.newJob("test.job")
	if _, err := b.Store.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	for i := range jobstore.MaxQueues {
		if err := b.Store.Enroll(t.Context(), fmt.Sprint("q", i)); err != nil {
			t.Fatal(err)
		}
	}
	o, err := b.Bulk(t.Context(), access.Everything, answer.BulkRequest{Action: Change,
		Filter: answer.JobFilter{Type: "test.job"}, Change: &answer.BulkChange{Queue: "one-more"}}, "me")
	if err != nil {
		t.Fatal(err)
	}
	b.carry(t.Context(), o.ID)
	o, err = b.Operation(t.Context(), o.ID)
	if err != nil || o.State != succeeded || o.Skipped[string(httpapi.TooManyQueues)] != 1 ||
		len(o.Errors) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}
