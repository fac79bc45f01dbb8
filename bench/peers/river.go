package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Kind names the job to River.
func (Args) Kind() string { return "bench.noop" }

type riverWorker struct {
	river.WorkerDefaults[Args]
	tally *tally
}

func (w *riverWorker) Work(_ context.Context, j *river.Job[Args]) error {
	w.tally.job(j.Args)
	return nil
}

// riverClient tunes River as its own bench command does: many slots, and a
// look for jobs each 2 to 20 ms.
func riverClient(ctx context.Context, url string, t *tally) (*river.Client[pgx.Tx], func(), error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	c := &river.Config{Logger: slog.New(slog.DiscardHandler)}
	if t != nil {
		c.Workers = river.NewWorkers()
		river.AddWorker(c.Workers, &riverWorker{tally: t})
		c.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}}
		c.FetchCooldown, c.FetchPollInterval = 2*time.Millisecond, 20*time.Millisecond
	}
	client, err := river.NewClient(riverpgxv5.New(pool), c)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return client, pool.Close, nil
}

func riverMigrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool),
		&rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

var riverRole = role{
	bulk: func(ctx context.Context, url string, n int) error {
		client, closePool, err := riverClient(ctx, url, nil)
		if err != nil {
			return err
		}
		defer closePool()
		all := make([]river.InsertManyParams, n)
		for i := range all {
			all[i].Args = Args{}
		}
		for part := range slices.Chunk(all, 5000) {
			if _, err := client.InsertManyFast(ctx, part); err != nil {
				return err
			}
		}
		return nil
	},
	trickle: func(ctx context.Context, url string, each func(func(Args) error) error) error {
		client, closePool, err := riverClient(ctx, url, nil)
		if err != nil {
			return err
		}
		defer closePool()
		return each(func(a Args) error {
			_, err := client.Insert(ctx, a, nil)
			return err
		})
	},
	work: func(ctx context.Context, url string, t *tally) error {
		client, closePool, err := riverClient(context.WithoutCancel(ctx), url, t)
		if err != nil {
			return err
		}
		defer closePool()
		if err := client.Start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		t.ready()
		<-ctx.Done()
		return client.Stop(context.WithoutCancel(ctx))
	},
}
