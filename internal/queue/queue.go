package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// Config of a Queue.
type Config struct {
	Prefix string // of queue names and the ring's channel; "" = "longshore"
	Log    *slog.Logger
}

// A Queue sends and serves tickets. It is safe for concurrent use.
type Queue struct {
	rdb      redis.UniversalClient
	prefix   string
	log      *slog.Logger
	producer *asynq.Client
	recorder *recorder
	names    []queueName
}

type queueName struct {
	lane     job.Lane
	priority job.Priority
	name     string // "longshore-io-high"
	keys     string // "asynq:{longshore-io-high}:"
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
	q := &Queue{rdb: rdb, prefix: c.Prefix, log: c.Log, recorder: newRecorder(rdb)}
	q.producer = asynq.NewClientFromRedisClient(q.recorder)
	for _, l := range job.Lanes {
		for _, p := range job.Priorities {
			name := c.Prefix + "-" + string(l) + "-" + string(p)
			q.names = append(q.names, queueName{l, p, name, "asynq:{" + name + "}:"})
		}
	}
	return q, nil
}

func (q *Queue) nameOf(l job.Lane, p job.Priority) queueName {
	for _, n := range q.names {
		if n.lane == l && n.priority == p {
			return n
		}
	}
	return queueName{}
}

// Enqueue adds tickets behind what waits and rings for idle workers. A ticket
// that is there already is no error.
func (q *Queue) Enqueue(ctx context.Context, tickets []job.Ticket) error {
	_, err := q.send(ctx, tickets)
	return err
}

// EnqueueHead adds tickets ahead of what waits: they were served before.
func (q *Queue) EnqueueHead(ctx context.Context, tickets []job.Ticket) error {
	added, err := q.send(ctx, tickets)
	if err != nil {
		return err
	}
	byQueue := map[string][]any{}
	for i, t := range tickets {
		if added[i] {
			key := q.nameOf(t.Lane, t.Priority).keys + "pending"
			byQueue[key] = append(byQueue[key], t.Name(), t.Type)
		}
	}
	for key, ids := range byQueue {
		if err := headScript.Run(ctx, q.rdb, []string{key}, ids...).Err(); err != nil {
			return fmt.Errorf("move tickets to the head: %w", err)
		}
	}
	return nil
}

// send enqueues tickets in one round trip and tells which ones are new.
func (q *Queue) send(ctx context.Context, tickets []job.Ticket) (added []bool, err error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	recording := &recording{}
	ctx2 := context.WithValue(ctx, recordingKey{}, recording)
	for _, t := range tickets {
		if err := check(t); err != nil {
			return nil, err
		}
		if err := q.record(ctx2, t.Name(), q.nameOf(t.Lane, t.Priority)); err != nil {
			return nil, fmt.Errorf("enqueue ticket %s: %w", t.Name(), err)
		}
	}
	rings := map[string]bool{}
	for _, t := range tickets {
		rings[q.nameOf(t.Lane, t.Priority).name] = true
	}
	replies, err := recording.send(ctx, q.rdb, q.recorder, q.RingChannel(), rings)
	if err != nil {
		return nil, fmt.Errorf("enqueue %d tickets: %w", len(tickets), err)
	}
	added = make([]bool, len(tickets))
	for i, n := range replies {
		added[i] = n == 1
	}
	return added, nil
}

// Look tells what became of tickets, in their order.
func (q *Queue) Look(ctx context.Context, tickets []job.Ticket) ([]jobstore.TicketState, error) {
	pipe := q.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(tickets))
	for i, t := range tickets {
		cmds[i] = pipe.HGet(ctx, q.nameOf(t.Lane, t.Priority).keys+"t:"+t.Name(), "state")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look for tickets: %w", err)
	}
	states := make([]jobstore.TicketState, len(tickets))
	for i, cmd := range cmds {
		switch state, err := cmd.Result(); {
		case errors.Is(err, redis.Nil):
			states[i] = jobstore.TicketAbsent
		case err != nil:
			return nil, err
		case state == "pending", state == "parked":
			states[i] = jobstore.TicketPending
		case state == "active":
			states[i] = jobstore.TicketActive
		default:
			states[i] = jobstore.TicketOther
		}
	}
	return states, nil
}

// Active lists the tickets that workers hold, without their type.
func (q *Queue) Active(ctx context.Context) ([]job.Ticket, error) {
	pipe := q.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(q.names))
	for i, n := range q.names {
		cmds[i] = pipe.LRange(ctx, n.keys+"active", 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("list active tickets: %w", err)
	}
	var tickets []job.Ticket
	for i, cmd := range cmds {
		for _, task := range cmd.Val() {
			if id, delivery, err := job.ParseTicketName(task); err == nil {
				tickets = append(tickets, job.Ticket{ID: id, Delivery: delivery, Lane: q.names[i].lane, Priority: q.names[i].priority})
			}
		}
	}
	return tickets, nil
}

// discardScript takes tickets out of the active list, as asynq's recovery
// would do a minute or two later. KEYS: a task key each; ARGV: its id.
var discardScript = redis.NewScript(`
for i, key in ipairs(KEYS) do
	redis.call('LREM', string.sub(key, 1, -(#ARGV[i] + 3)) .. 'active', 0, ARGV[i])
	redis.call('DEL', key)
end
return 1`)

// Discard throws active tickets away that no worker holds any more.
func (q *Queue) Discard(ctx context.Context, tickets []job.Ticket) error {
	byQueue := map[string][]job.Ticket{}
	for _, t := range tickets {
		name := q.nameOf(t.Lane, t.Priority).keys
		byQueue[name] = append(byQueue[name], t)
	}
	for name, tickets := range byQueue {
		keys, ids := make([]string, len(tickets)), make([]any, len(tickets))
		for i, t := range tickets {
			ids[i], keys[i] = t.Name(), name+"t:"+t.Name()
		}
		if err := discardScript.Run(ctx, q.rdb, keys, ids...).Err(); err != nil {
			return fmt.Errorf("discard tickets: %w", err)
		}
	}
	return nil
}
