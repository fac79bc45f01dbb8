package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Info is the state of one queue in one moment, by Redis's clock.
type Info struct {
	Lane     job.Lane
	Priority job.Priority
	Pending  int64         // tickets that wait, parked ones too
	Active   int64         // tickets that workers hold
	Latency  time.Duration // how long the oldest of Oldest waits, by its ticket
	Paused   bool          // by asynq's tools
	Parked   []Parked      // by type
	At       time.Time
	Oldest   []Waiting // some of those that wait longest
}

// Parked are the tickets of a type that wait for a worker that serves it.
type Parked struct {
	Type    string
	Pending int64
}

// Waiting is a ticket that waits.
type Waiting struct {
	Ticket job.Ticket
	Since  time.Time // since when it is there, which is no longer than its job waits
}

// Queues returns the state of all queues.
func (q *Queue) Queues(ctx context.Context) ([]Info, error) {
	infos, err := q.queues(ctx, stateScript.EvalSha)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		infos, err = q.queues(ctx, stateScript.Eval)
	}
	if err != nil {
		return nil, fmt.Errorf("read queues: %w", err)
	}
	return infos, nil
}

type evaluate func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (q *Queue) queues(ctx context.Context, eval evaluate) ([]Info, error) {
	pipe := q.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(q.names))
	for i, n := range q.names {
		cmds[i] = eval(ctx, pipe, []string{n.keys + "pending"})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	infos := make([]Info, len(q.names))
	for i, n := range q.names {
		reply, err := cmds[i].Slice()
		if err != nil {
			return nil, err
		}
		if infos[i], err = n.info(reply); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// info reads what state.lua answers.
func (n queueName) info(reply []any) (Info, error) {
	if len(reply) != 6 {
		return Info{}, fmt.Errorf("script answered %d values", len(reply))
	}
	number := func(v any) int64 { i, _ := v.(int64); return i }
	info := Info{Lane: n.lane, Priority: n.priority, At: time.UnixMilli(number(reply[0])).UTC(), Pending: number(reply[1]),
		Active: number(reply[2]), Paused: number(reply[3]) == 1}
	oldest, _ := reply[4].([]any)
	for pair := range slices.Chunk(oldest, 2) {
		name, _ := pair[0].(string)
		id, delivery, err := job.ParseTicketName(name)
		if err != nil || len(pair) < 2 {
			continue // garbage hurts no other
		}
		text, _ := pair[1].(string)
		ns, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ns <= 0 {
			continue
		}
		w := Waiting{job.Ticket{ID: id, Delivery: delivery, Lane: n.lane, Priority: n.priority}, time.Unix(0, ns).UTC()}
		info.Oldest = append(info.Oldest, w)
		info.Latency = max(info.Latency, info.At.Sub(w.Since))
	}
	parked, _ := reply[5].([]any)
	for pair := range slices.Chunk(parked, 2) {
		if typ, ok := pair[0].(string); ok && len(pair) == 2 && number(pair[1]) > 0 {
			info.Parked = append(info.Parked, Parked{typ, number(pair[1])})
			info.Pending += number(pair[1])
		}
	}
	slices.SortFunc(info.Parked, func(a, b Parked) int { return cmp.Compare(a.Type, b.Type) })
	return info, nil
}

// Paused returns of each queue only whether it is paused.
func (q *Queue) Paused(ctx context.Context) ([]Info, error) {
	pipe := q.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(q.names))
	for i, n := range q.names {
		cmds[i] = pipe.Exists(ctx, n.keys+"paused")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	infos := make([]Info, len(q.names))
	for i, n := range q.names {
		infos[i] = Info{Lane: n.lane, Priority: n.priority, Paused: cmds[i].Val() == 1}
	}
	return infos, nil
}
