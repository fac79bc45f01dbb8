package queue

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed state.lua
var stateSource string

//go:embed void.lua
var voidSource string

var (
	stateScript = redis.NewScript("#!lua flags=no-writes\nlocal call, sub = redis.call, string.sub\n" +
		stateSource)
	voidScript = redis.NewScript("#!lua flags=allow-oom\nlocal call, sub = redis.call, string.sub\n" +
		voidSource)
)

// mindEvery is how often one process looks after parked tickets.
const mindEvery = 4500 * time.Millisecond

// Mind has the turn of looking after parked tickets. Each process is to call it every five
// seconds; one of them has it then, which is told.
func (q *Queue) Mind(ctx context.Context) (did bool, err error) {
	return q.rdb.SetNX(ctx, q.prefix+":minded", "1", mindEvery).Result()
}
