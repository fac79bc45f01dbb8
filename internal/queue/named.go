package queue

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
)

// Queues that aren't the default one have lists that come and go. Each partition knows its own
// (jobstore/queues.go); a process keeps those that it has seen last, and sees them again with what it asks
// for anyway.

// all are the lists that there are, as they were seen last: those of one place stand one behind the other.
func (q *Queue) all() []queueName {
	named := q.named.Load()
	if named == nil || len(*named) == 0 {
		return q.names
	}
	return slices.Concat(q.names, *named)
}

// askLists asks for the lists that there are.
func (q *Queue) askLists(ctx context.Context, pipe redis.Pipeliner) []*redis.StringSliceCmd {
	cmds := make([]*redis.StringSliceCmd, q.parts)
	for part := range cmds {
		cmds[part] = pipe.ZRange(ctx, jobstore.ListsKey(q.prefix, part), 0, -1)
	}
	return cmds
}

func told(cmds []*redis.StringSliceCmd) [][]string {
	lists := make([][]string, len(cmds))
	for part, cmd := range cmds {
		lists[part] = cmd.Val()
	}
	return lists
}

// learn keeps what partitions say of their lists, and tells whether it is other than before.
func (q *Queue) learn(ctx context.Context, lists [][]string) (other bool) {
	var named []queueName
	for part, said := range lists {
		for _, at := range jobstore.ReadPlaces(said) {
			named = append(named, q.nameOf(at, part))
		}
	}
	slices.SortFunc(named, func(a, b queueName) int {
		return cmp.Or(strings.Compare(a.at.Queue, b.at.Queue), strings.Compare(a.at.Name(), b.at.Name()),
			cmp.Compare(a.part, b.part))
	})
	if old := q.named.Load(); old == nil && named == nil || old != nil && slices.Equal(*old, named) {
		return false
	}
	q.named.Store(&named)
	if err := q.register(ctx); err != nil && ctx.Err() == nil {
		q.log.DebugContext(ctx, "asynq's tools are not told of queues", "error", err)
	}
	return true
}

// lists asks for the lists that there are, where nothing else is asked for.
func (q *Queue) lists(ctx context.Context) ([][]string, error) {
	pipe := q.rdb.Pipeline()
	cmds := q.askLists(ctx, pipe)
	_, err := pipe.Exec(ctx)
	return told(cmds), err
}
