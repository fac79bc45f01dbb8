package jobstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// Whoever has an asynq.Client for this Redis can enqueue into our queues. Such a task is no ticket; what
// takes tickets sets it apart, with its task, in list "asynq:{queue}:foreign", where nothing of asynq's
// looks. Package asynqmove makes jobs of them.

// ForeignKey is that list's key, of the queue whose keys begin so (QueueKeys).
func ForeignKey(keys string) string { return keys + "foreign" }

// OnForeign has f told how many tasks this process has just set apart. It is to be called before the store
// is used, and f from many goroutines.
func (s *Store) OnForeign(f func(ctx context.Context, n int64)) { s.foreign = f }

// TellForeign is for who set some apart.
func (s *Store) TellForeign(ctx context.Context, n int64) {
	if n > 0 && s.foreign != nil {
		s.foreign(ctx, n)
	}
}

// A List is one of our ready queues, as asynq sees it.
type List struct {
	Name  string // that asynq knows it by
	Place job.Place
}

// Lists are those of all partitions.
func (s *Store) Lists(ctx context.Context) (lists []List, err error) {
	for part := range s.bases {
		places, err := s.Places(ctx, part)
		if err != nil {
			return nil, err
		}
		for _, at := range places {
			lists = append(lists, List{QueueName(s.prefix, at.Name(), part, len(s.bases)), at})
		}
	}
	return lists, nil
}

// Foreign is how many tasks are set apart.
func (s *Store) Foreign(ctx context.Context) (sum int64, err error) {
	lists, err := s.Lists(ctx)
	if err != nil {
		return 0, err
	}
	pipe := s.rdb.Pipeline()
	counts := make([]*redis.IntCmd, len(lists))
	for i, list := range lists {
		counts[i] = pipe.LLen(ctx, ForeignKey(QueueKeys(list.Name)))
	}
	if _, err := pipe.Exec(ctx); failed(err) {
		return 0, err
	}
	for _, n := range counts {
		sum += n.Val()
	}
	return sum, nil
}
