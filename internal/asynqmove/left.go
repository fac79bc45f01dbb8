package asynqmove

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// A Left is what stays with asynq of a queue.
type Left struct {
	Queue     string `json:"queue"`
	Active    int64  `json:"active"`
	Grouped   int64  `json:"grouped"`
	Archived  int64  `json:"archived"`
	Completed int64  `json:"completed"`
}

// Left counts what isn't moved of the queues that are: what runs, groups, and what has ended.
func (m *Mover) Left(ctx context.Context) (all []Left, err error) {
	for _, l := range m.lines {
		groups, err := l.rdb.SMembers(ctx, l.keys+"groups").Result()
		if err != nil {
			return nil, err
		}
		pipe := l.rdb.Pipeline()
		active := pipe.LLen(ctx, l.keys+"active")
		archived, completed := pipe.ZCard(ctx, l.keys+"archived"), pipe.ZCard(ctx, l.keys+"completed")
		sizes := make([]*redis.IntCmd, len(groups))
		for i, group := range groups {
			sizes[i] = pipe.ZCard(ctx, l.keys+"g:"+group)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
		left := Left{Queue: l.name, Active: active.Val(), Archived: archived.Val(),
			Completed: completed.Val()}
		for _, n := range sizes {
			left.Grouped += n.Val()
		}
		all = append(all, left)
	}
	return all, nil
}
