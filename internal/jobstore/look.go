package jobstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
)

// readRecords reads all of the records, each in one moment, and that of its
// long payload too where the arg is "1". The replies are those that a script would
// give; record.go judges what was found. A transaction costs Redis less than
// a script of the same commands: it enters no Lua, and copies no replies into it.
func readRecords(ctx context.Context, rdb redis.UniversalClient, calls []*batch.Call) {
	tx := rdb.TxPipeline()
	found := make([][5]*redis.Cmd, len(calls))
	for i, c := range calls {
		base, id := c.Key[:len(c.Key)-38], c.Key[len(c.Key)-36:]
		found[i] = [5]*redis.Cmd{tx.Do(ctx, "hgetall", c.Key), tx.Do(ctx, "get", base+"r:"+id), tx.Do(ctx, "get", base+"g:"+id),
			tx.Do(ctx, "lrange", base+"e:"+id, 0, -1)}
		if c.Args[0] == "1" {
			found[i][4] = tx.Do(ctx, "get", base+"p:"+id)
		}
	}
	_, _ = tx.Exec(ctx) // each command has its error too
	for i, c := range calls {
		c.Reply, c.Err = recordReply(found[i][:])
	}
}

func recordReply(found []*redis.Cmd) ([]any, error) {
	reply := []any{"ok"}
	damaged := false
	for _, cmd := range found {
		if cmd == nil {
			break
		}
		value, err := cmd.Result()
		switch {
		case err == nil:
		case errors.Is(err, redis.Nil):
			value = ""
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			damaged = true
		default:
			return nil, err
		}
		reply = append(reply, value)
	}
	if damaged {
		return []any{"damaged"}, nil
	}
	if flat, _ := reply[1].([]any); len(flat) == 0 {
		return []any{"gone"}, nil
	}
	return reply, nil
}
