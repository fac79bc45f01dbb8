package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"time"

	"longshore/handlers"
	"longshore/internal/collector"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

var noop = tasks.Definition[Args]{Type: "bench.noop", Lane: job.LaneIO}

func connection(url string) connect.Config {
	return connect.Config{RedisURL: url, BlobURL: "file://" + os.Getenv("BLOBS")}
}

// drafts are new jobs, as the submitter makes them of a request.
func drafts(n int, payload []byte) []jobstore.NewJob {
	jobs := make([]jobstore.NewJob, n)
	for i := range jobs {
		jobs[i] = jobstore.NewJob{ID: job.NewID(time.Now()), Type: noop.Type, Lane: job.LaneIO,
			Priority: job.Default, Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour,
			Spec: jobstore.Spec{Payload: payload}, Digest: "00000000000000000000000000000000"}
	}
	return jobs
}

// submitAll creates jobs. On a single Redis their tickets go along.
func submitAll(ctx context.Context, sys *connect.System, jobs []jobstore.NewJob) error {
	for part := range slices.Chunk(jobs, 2000) {
		_, errs := sys.Store.CreateMany(ctx, part)
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// longshoreSlots is the concurrency of our worker, the same as asynq's.
const longshoreSlots = 256

var longshoreRole = role{
	// bulk goes the way of `enqueue batch` on Redis: records with their tickets, 500 at a time.
	bulk: func(ctx context.Context, url string, n int) error {
		sys, err := connect.Open(ctx, connection(url))
		if err != nil {
			return err
		}
		defer sys.Close()
		return submitAll(ctx, sys, drafts(n, []byte(`{"t":0}`)))
	},
	trickle: func(ctx context.Context, url string, each func(func(Args) error) error) error {
		sys, err := connect.Open(ctx, connection(url))
		if err != nil {
			return err
		}
		defer sys.Close()
		return each(func(a Args) error {
			payload, err := json.Marshal(a)
			if err != nil {
				return err
			}
			return submitAll(ctx, sys, drafts(1, payload))
		})
	},
	work: func(ctx context.Context, url string, t *tally) error {
		collector.Tune(os.Getenv, 32<<20) // as the program worker does
		var r handlers.Registry
		handlers.Add(&r, noop, func(_ context.Context, _ *handlers.Run, a Args) (any, error) {
			t.job(a)
			return nil, nil
		})
		return worker.Run(ctx, worker.Config{Connection: connection(url), StreamConcurrency: longshoreSlots,
			Lanes: []job.Lane{job.LaneIO}, Ready: t.ready}, &r)
	},
}
