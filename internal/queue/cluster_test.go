package queue

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// TestOnACluster has jobs live from their creation to their removal on three masters: every move is one
// script in the slot of its job, the queues are asynq's there too.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t)
	rdb := redis.NewClusterClient(
		&redis.ClusterOptions{Addrs: strings.Split(strings.TrimPrefix(cluster.URL, "redis+cluster://"), ",")})
	t.Cleanup(func() { _ = rdb.Close() })
	prefix := redistest.Prefix(t)
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix})
	if err := store.Open(t.Context()); err != nil || store.Parts() != 16 {
		t.Fatal(store.Parts(), err)
	}
	q, err := New(rdb, Config{Prefix: prefix, Partitions: store.Parts()})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &bundle{q, store}
	const jobs = 200
	all := b.submit(t, jobs, job.Default)
	names, err := q.inspector.Queues()
	if err != nil {
		t.Fatal(err)
	}
	pending := 0
	for _, name := range names {
		if !strings.Contains(name, prefix) {
			continue
		}
		if info, err := q.inspector.GetQueueInfo(name); err == nil {
			pending += info.Pending
		}
	}
	if pending != jobs {
		t.Errorf("asynq's tools see %d tickets", pending)
	}
	counts, err := store.Counts(t.Context())
	if err != nil || counts[job.Queued] != jobs {
		t.Errorf("counts %v, %v", counts, err)
	}
	got := make(chan job.Ticket, jobs)
	stop := serve(t, b, 16, func(_ context.Context, tk job.Ticket) { got <- tk })
	for range all {
		if tk := <-got; !slices.Contains(all, tk) {
			t.Fatalf("served %+v", tk)
		}
	}
	stop()
	sweeper := &jobstore.Sweeper{Store: store}
	if _, err := sweeper.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	ids := make([]job.ID, len(all))
	for i, tk := range all {
		ids[i] = tk.ID
	}
	readings, err := store.GetMany(t.Context(), ids)
	if err != nil || slices.ContainsFunc(readings, func(r job.Reading) bool {
		return r.Err != nil || r.State != job.Succeeded
	}) {
		t.Errorf("after all ran: %v", err)
	}
	seen, cursor := 0, ""
	for {
		page, err := store.List(t.Context(), job.Filter{State: job.Succeeded, Limit: 30, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		if seen, cursor = seen+len(page.Jobs), page.Next; page.Complete {
			break
		}
	}
	if seen != jobs {
		t.Errorf("%d of %d are listed", seen, jobs)
	}
	// A job that waits for a time, and one that is canceled; then all go.
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour, RunAt: time.Now().Add(-time.Second),
		IdempotencyKey: "k"}
	n.ID = jobstore.DrawID(time.Now(), access.Owner{}, n.IdempotencyKey)
	if _, err := store.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if id, err := store.Find(t.Context(), n); err != nil || id != n.ID {
		t.Errorf("found %s, %v", id, err)
	}
	swept := jobstore.Swept{}
	for swept.Due == 0 && t.Context().Err() == nil { // a sweep too soon after another one does nothing
		if swept, err = sweeper.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if snap, err := store.Cancel(t.Context(), n.ID); err != nil || snap.State != job.Canceled {
		t.Errorf("%+v, %v", snap, err)
	}
	for _, id := range append(ids, n.ID) {
		if err := store.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := store.Count(t.Context()); err != nil || left != 0 {
		t.Errorf("%d jobs are left, %v", left, err)
	}
}
