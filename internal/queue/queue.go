package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// Config of a Queue.
type Config struct {
	Prefix     string // of queue names and the ring's channel; "" = "longshore"
	Partitions int    // of the records: jobstore.Store's Parts; 0 = 1
	Log        *slog.Logger
}

// A Queue serves tickets and tells of them. It is safe for concurrent use.
type Queue struct {
	rdb       redis.UniversalClient
	prefix    string
	parts     int
	log       *slog.Logger
	inspector *asynq.Inspector
	names     []queueName                       // of the default queue
	named     atomic.Pointer[[]queueName]       // of others, as they were seen last
	lost      func(context.Context, WorkerInfo) // nil = nobody wants to know
}

// A queueName is one list of tickets, of a partition.
type queueName struct {
	at   job.Place
	part int
	name string // "longshore-io-high", "longshore-io-high:mailers"
	keys string // "asynq:{longshore-io-high}:"
}

var goodPrefix = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// New returns a queue on a client, which stays the caller's to close.
func New(rdb redis.UniversalClient, c Config) (*Queue, error) {
	if c.Prefix == "" {
		c.Prefix = "longshore"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !goodPrefix.MatchString(c.Prefix) {
		return nil, fmt.Errorf("prefix %q: letters, digits, - and _ only", c.Prefix)
	}
	q := &Queue{rdb: rdb, prefix: c.Prefix, parts: max(c.Partitions, 1), log: c.Log,
		inspector: asynq.NewInspectorFromRedisClient(rdb)}
	for _, at := range job.PlacesOf("") {
		q.names = append(q.names, q.everywhere(at)...)
	}
	return q, nil
}

// nameOf is the list of tickets of a place, in a partition.
func (q *Queue) nameOf(at job.Place, part int) queueName {
	name := jobstore.QueueName(q.prefix, at.Name(), part, q.parts)
	return queueName{at, part, name, jobstore.QueueKeys(name)}
}

// everywhere are those of all partitions.
func (q *Queue) everywhere(at job.Place) []queueName {
	names := make([]queueName, q.parts)
	for part := range names {
		names[part] = q.nameOf(at, part)
	}
	return names
}

// Pause holds the tickets of a queue where they are, as asynq's tools do: workers take none until
// Resume. Pausing twice is no error.
func (q *Queue) Pause(ctx context.Context, at job.Place) error { return q.inspect(ctx, at, true) }

// Resume ends a pause.
func (q *Queue) Resume(ctx context.Context, at job.Place) error { return q.inspect(ctx, at, false) }

func (q *Queue) inspect(ctx context.Context, at job.Place, pause bool) error {
	var errs []error
	for _, n := range q.everywhere(at) {
		paused, err := q.rdb.Exists(ctx, n.keys+"paused").Result()
		switch {
		case err != nil:
		case pause && paused == 0:
			err = q.inspector.PauseQueue(n.name)
		case !pause && paused == 1:
			err = q.inspector.UnpauseQueue(n.name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// register tells asynq's tools of all queues, where the scripts that push tickets can't: on a Cluster the
// set of all queues lies in another slot.
func (q *Queue) register(ctx context.Context) error {
	if q.parts == 1 {
		return nil
	}
	var names []any
	for _, n := range q.all() {
		names = append(names, n.name)
	}
	return q.rdb.SAdd(ctx, "asynq:queues", names...).Err()
}
