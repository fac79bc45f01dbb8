package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// Info is the state of one queue in one moment, by Redis's clock.
type Info struct {
	job.Place
	Pending int64         // tickets that wait, parked ones too
	Active  int64         // jobs that run; filled in by package overview
	Latency time.Duration // how long the oldest of Oldest waits; filled in by package overview
	Paused  bool          // by asynq's tools
	Parked  []Parked      // by type
	At      time.Time
	Foreign int64        // tasks that others enqueued here, set apart
	Oldest  []job.Ticket // some of those that wait longest
}

// Parked are the tickets of a type that wait for a worker that serves it.
type Parked struct {
	Type    string
	Pending int64
}

// Queues returns the state of all queues.
func (q *Queue) Queues(ctx context.Context) ([]Info, error) {
	infos, err := q.queues(ctx, stateScript.EvalSha, false)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		infos, err = q.queues(ctx, stateScript.Eval, false)
	}
	if err != nil {
		return nil, fmt.Errorf("read queues: %w", err)
	}
	return infos, nil
}

type evaluate func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (q *Queue) queues(ctx context.Context, eval evaluate, again bool) ([]Info, error) {
	names, pipe := q.all(), q.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(names))
	for i, n := range names {
		cmds[i] = eval(ctx, pipe, []string{n.keys + "pending"})
	}
	lists := q.askLists(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	if q.learn(ctx, told(lists)) && !again {
		return q.queues(ctx, eval, true)
	}
	var infos []Info
	for i, n := range names {
		reply, err := cmds[i].Slice()
		if err != nil {
			return nil, err
		}
		info, err := n.info(reply)
		if err != nil {
			return nil, err
		}
		infos = add(infos, info)
	}
	for i := range infos {
		slices.SortFunc(infos[i].Parked, func(a, b Parked) int { return cmp.Compare(a.Type, b.Type) })
	}
	return infos, nil
}

// add joins what partitions say of one queue, which stand one behind the other.
func add(infos []Info, more Info) []Info {
	if len(infos) == 0 || infos[len(infos)-1].Place != more.Place {
		return append(infos, more)
	}
	sum := &infos[len(infos)-1]
	sum.Foreign += more.Foreign
	sum.Pending, sum.Paused, sum.Oldest = sum.Pending+more.Pending, sum.Paused || more.Paused,
		append(sum.Oldest, more.Oldest...)
	for _, p := range more.Parked {
		if i := slices.IndexFunc(sum.Parked, func(q Parked) bool { return q.Type == p.Type }); i >= 0 {
			sum.Parked[i].Pending += p.Pending
		} else {
			sum.Parked = append(sum.Parked, p)
		}
	}
	return infos
}

// info reads what state.lua answers.
func (n queueName) info(reply []any) (Info, error) {
	if len(reply) != 6 {
		return Info{}, fmt.Errorf("script answered %d values", len(reply))
	}
	number := func(v any) int64 { i, _ := v.(int64); return i }
	info := Info{Place: n.at, At: time.UnixMilli(number(reply[0])).UTC(),
		Pending: number(reply[1]), Paused: number(reply[2]) == 1, Foreign: number(reply[5])}
	oldest, _ := reply[3].([]any)
	for _, one := range oldest {
		entry, _ := one.(string)
		if id, delivery, ok := jobstore.ParseEntry(entry); ok { // garbage hurts no other
			info.Oldest = append(info.Oldest, job.Ticket{ID: id, Delivery: delivery, Lane: n.at.Lane,
				Priority: n.at.Priority, Queue: n.at.Queue})
		}
	}
	parked, _ := reply[4].([]any)
	for pair := range slices.Chunk(parked, 2) {
		if typ, ok := pair[0].(string); ok && len(pair) == 2 && number(pair[1]) > 0 {
			info.Parked = append(info.Parked, Parked{typ, number(pair[1])})
			info.Pending += number(pair[1])
		}
	}
	return info, nil
}

// Paused returns of each queue only whether it is paused.
func (q *Queue) Paused(ctx context.Context) ([]Info, error) {
	names, pipe := q.all(), q.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(names))
	for i, n := range names {
		cmds[i] = pipe.Exists(ctx, n.keys+"paused")
	}
	lists := q.askLists(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	q.learn(ctx, told(lists)) // a list that is new is seen the next time
	var infos []Info
	for i, n := range names {
		infos = add(infos, Info{Place: n.at, Paused: cmds[i].Val() == 1})
	}
	return infos, nil
}
