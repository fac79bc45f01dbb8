package janitor

import (
	"context"
	"maps"
	"slices"
	"time"

	"longshore/internal/loop"
	"longshore/internal/overview"
)

// watchData says so when Redis comes back without its data: the jobs that were
// acknowledged before are gone, and clients are told that they don't exist.
func (j *Janitor) watchData(ctx context.Context) error {
	known := ""
	return loop.Background(ctx, j.log, 5*time.Second, "look whether redis has kept its data",
		func(ctx context.Context) error {
			epoch, err := j.store.Epoch(ctx)
			if err != nil {
				return err
			}
			if known != "" && epoch != known {
				j.log.ErrorContext(ctx,
					"redis has lost its data: all jobs from before are gone; see that it keeps them on disk")
				_, err = j.store.RegisterBlobs(ctx, j.blobs.ID())
			}
			known = epoch
			return err
		})
}

// mind looks after what nobody serves, and says which types those are: once a
// minute each, by one process of all.
func (j *Janitor) mind(ctx context.Context) error {
	return loop.Background(ctx, j.log, 5*time.Second, "look after jobs that nobody serves",
		func(ctx context.Context) error {
			did, err := j.tickets.Mind(ctx)
			if err != nil || !did {
				return err
			}
			if err := j.mend(ctx); err != nil {
				return err
			}
			if err := j.tickets.DropVoid(ctx, j.store); err != nil {
				return err
			}
			o, err := overview.Look(ctx, j.tickets, j.store)
			if err != nil {
				return err
			}
			types := o.Unserved()
			for _, typ := range slices.Sorted(maps.Keys(types)) {
				first, err := j.redis.SetNX(ctx, j.prefix+":warned:"+typ, "1", time.Minute).Result()
				if err != nil {
					return err
				}
				if first {
					j.log.WarnContext(ctx, "jobs wait for a worker, and none that is alive takes their type",
						"type", typ, "lane", types[typ], "at_least", o.Waiting(typ))
				}
			}
			return nil
		})
}
