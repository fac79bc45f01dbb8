package janitor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/overview"
	"longshore/internal/queue"
	"longshore/job"
)

// watchData vouches again and again, and says so when Redis comes back without its data, or with older
// ones, and when that is over.
func (j *Janitor) watchData(ctx context.Context) error {
	if j.forgets {
		return j.watchEpoch(ctx)
	}
	var told jobstore.Loss
	return loop.Background(ctx, j.log, watchEvery, "look whether redis has kept its data",
		func(ctx context.Context) error {
			loss, err := j.Vouch(ctx)
			if err != nil && !loss.Is() {
				return err
			}
			switch {
			case loss.Is() && loss != told:
				j.log.ErrorContext(ctx, "redis has lost its data: jobs that aren't there are answered store_reset, and no "+
					"orphans are swept, until the right data are back or enqueue doctor --accept-loss has said that they are gone; "+
					"see that it keeps them on disk", "from", loss.From, "to", loss.To)
			case !loss.Is() && told.Is():
				j.log.InfoContext(ctx, "redis's data are whole again, or their loss was accepted")
			}
			if told = loss; !loss.Is() {
				return nil
			}
			return j.register(ctx)
		})
}

// watchEvery is how often a process looks: a new one that is without data is noticed after that time.
const watchEvery = 5 * time.Second

// errElsewhere is for the operator: a process that starts is told at once, one that runs when Redis has lost
// what it knew of the place only here.
var errElsewhere = errors.New(
	"BLOB_URL: other processes of this installation keep their files elsewhere; set the same for all")

// register notes the files' place in a Redis that has lost it.
func (j *Janitor) register(ctx context.Context) error {
	place, err := j.store.RegisterBlobs(ctx, j.blobs.ID())
	if err == nil && place != j.blobs.ID() {
		err = errElsewhere
	}
	return err
}

// watchEpoch is watchData for a Redis that forgets by design.
func (j *Janitor) watchEpoch(ctx context.Context) error {
	known := ""
	return loop.Background(ctx, j.log, watchEvery, "look whether redis has kept its data",
		func(ctx context.Context) error {
			epoch, err := j.store.Epoch(ctx)
			if err != nil {
				return err
			}
			if known != "" && epoch != known {
				j.log.ErrorContext(ctx, "redis has lost its data: all jobs from before are gone")
				err = j.register(ctx)
			}
			known = epoch
			return err
		})
}

// forgetEvery is how often a process looks for queues that are to be forgotten.
const forgetEvery = time.Hour

// warnOfQueues says which queues nobody serves, once a minute each.
func (j *Janitor) warnOfQueues(ctx context.Context, o overview.Overview) error {
	queues := o.NoQueue()
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		first, err := j.redis.SetNX(ctx, j.prefix+":warned:queue:"+name, "1", time.Minute).Result()
		if err != nil {
			return err
		}
		if first {
			j.log.WarnContext(ctx, "jobs wait in a queue that no worker serves", "queue", name, "jobs", queues[name])
		}
	}
	return nil
}

// mind looks after what nobody serves, and says which types those are: once a
// minute each, by one process of all.
func (j *Janitor) mind(ctx context.Context) error {
	forgot := time.Time{}
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
						"type", typ, "lane", types[typ].Lane, "queue",
						job.QueueOf(types[typ].Queue), "at_least", o.Waiting(typ))
				}
			}
			if err := j.warnOfQueues(ctx, o); err != nil {
				return err
			}
			if time.Since(forgot) < forgetEvery {
				return nil
			}
			forgot = time.Now()
			return j.store.ForgetQueues(ctx, queue.NamedQueues(o.Workers), jobstore.QueuesIdle)
		})
}
