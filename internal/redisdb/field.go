package redisdb

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Field is the read of one field of each item's hash, in one pipeline: the only
// reply of an item is the field's text, "" where there is none or no hash. Redis does
// twenty such reads in the time that entering a script takes. Other commands may
// run in between: each item is read in a moment of its own.
func Field(field string) Read {
	return func(ctx context.Context, rdb redis.UniversalClient, calls []*Call) {
		pipe := rdb.Pipeline()
		found := make([]*redis.StringCmd, len(calls))
		for i, c := range calls {
			found[i] = pipe.HGet(ctx, c.Key, field)
		}
		_, _ = pipe.Exec(ctx) // each command has its error too
		for i, c := range calls {
			text, err := found[i].Result()
			if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE") {
				text, err = "", nil
			}
			c.Reply, c.Err = []any{text}, err
		}
	}
}
