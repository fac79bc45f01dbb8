package queue

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/internal/jobstore"
	"longshore/job"
)

// picked counts which queues a picker draws, of which all have tickets.
func picked(t *testing.T, p *picker, n int) map[job.Place]float64 {
	t.Helper()
	got := map[job.Place]float64{}
	for range n {
		s, _, _ := p.choose(time.Now(), time.Now().Add(time.Hour))
		if s == nil {
			t.Fatal("none was drawn")
		}
		got[s.at] += 1 / float64(n)
	}
	return got
}

// TestShares holds that queues get their weights of a priority, whatever others there are, and one with !
// all.
func TestShares(t *testing.T) {
	t.Parallel()
	q := &Queue{prefix: "p", parts: 1}
	at := func(p job.Priority, queue string) job.Place {
		return job.Place{Lane: job.LaneIO, Priority: p, Queue: queue}
	}
	names := []queueName{q.nameOf(at(job.Default, ""), 0), q.nameOf(at(job.High, ""), 0)}
	with := func(shares ...string) *picker {
		read, err := job.ParseShares(shares)
		if err != nil {
			t.Fatal(err)
		}
		p := newPicker(names, job.LaneIO, read)
		for _, queue := range []string{"mailers", "reports", "other"} {
			p.add(q.nameOf(at(job.Default, queue), 0))
		}
		for _, s := range p.sources {
			s.empty = false
		}
		return p
	}
	const n = 20_000
	high, usual := 6.0/9, 3.0/9
	for name, c := range map[string]struct {
		p    *picker
		want map[job.Place]float64
	}{
		"all, alike": {with(), map[job.Place]float64{at(job.High, ""): high, at(job.Default, ""): usual / 4,
			at(job.Default, "mailers"): usual / 4, at(job.Default, "reports"): usual / 4, at(job.Default, "other"): usual / 4}},
		"by weight": {with("default", "mailers=3"), map[job.Place]float64{at(job.High, ""): high,
			at(job.Default, ""): usual / 4, at(job.Default, "mailers"): usual * 3 / 4}},
		"strictly first": {with("default", "mailers!"), map[job.Place]float64{at(job.Default, "mailers"): 1}},
	} {
		got := picked(t, c.p, n)
		for place, share := range c.want {
			if math.Abs(got[place]-share) > 0.03 {
				t.Errorf("%s: %v has %.3f, wanted %.3f", name, place.Name(), got[place], share)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: drew %v", name, got)
		}
	}
}

// submitTo makes a job in a queue.
func (q *bundle) submitTo(t *testing.T, queue string) job.Ticket {
	t.Helper()
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: "test.job", Lane: job.LaneIO, Priority: job.Default, Queue: queue,
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour}
	c, err := q.store.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return c.Ticket
}

// TestNewQueue has a queue come to be while workers are idle, by a notification and without one, and lets it
// go again once it is empty; asynq's tools know of it meanwhile.
func TestNewQueue(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string]int{"one partition": 1, "sixteen": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, rdb := queueOf(t, parts)
			got := make(chan job.Ticket, 10)
			s := q.NewServer(q.store, []string{"test.job"}, map[job.Lane]int{job.LaneIO: 2})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			t.Cleanup(wg.Wait)
			t.Cleanup(cancel)
			wg.Go(func() {
				_ = s.Run(ctx, func(ctx context.Context, c jobstore.Claim) {
					if _, err := q.store.Finish(ctx, c.Ticket.ID, c.Fence,
						jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
						t.Error(err)
					}
					got <- c.Ticket
				})
			})
			first := q.submitTo(t, "mailers") // nobody is subscribed: a sign of life finds it
			if tk := <-got; tk != first || tk.Queue != "mailers" {
				t.Fatalf("took %+v", tk)
			}
			second := q.submitTo(t, "reports")
			s.Notify(q.nameOf(second.Place(), second.ID.Shard()%parts).name)
			if tk := <-got; tk != second {
				t.Fatalf("took %+v", tk)
			}
			infos, err := q.Queues(t.Context())
			if err != nil || len(infos) != 8 || infos[6].Queue != "mailers" || infos[7].Queue != "reports" {
				t.Fatalf("queues %+v, %v", infos, err)
			}
			asynqs, err := q.inspector.Queues()
			if err != nil {
				t.Fatal(err)
			}
			known := map[string]bool{}
			for _, name := range asynqs {
				known[name] = true
			}
			if name := q.nameOf(first.Place(), first.ID.Shard()%parts).name; !known[name] {
				t.Errorf("asynq's tools don't know %s", name)
			}
			// What is served stays, and what has jobs; what has none goes, with all that was kept of it.
			cancel()
			wg.Wait()
			q.submitTo(t, "unserved")
			if err := q.store.ForgetQueues(t.Context(), []string{"reports"}, 0); err != nil {
				t.Fatal(err)
			}
			left, err := rdb.ZRange(t.Context(), q.prefix+":queues", 0, -1).Result()
			if slices.Sort(left); err != nil || !slices.Equal(left, []string{"reports", "unserved"}) {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}
