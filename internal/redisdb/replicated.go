package redisdb

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// replicaWait is how long a replica has to take over what was written. It is less
// than ioTimeout, so that the server answers in time.
const replicaWait = time.Second

// errNotReplicated is of the kind [ReasonNoReplicas]. It doesn't have the server's own word for that at its
// beginning: the client would try again what a second has shown to be in vain, three times.
var errNotReplicated = errors.New("it is written, and no replica has it yet")

// Replicated marks a command after which a replica is waited for, where
// Config.Replicated is set. It ends in an error of [ReasonNoReplicas] if none has it
// within a second. Then its outcome is unknown, as after a lost connection: the
// server has carried it out, and may forget it in a failover.
func Replicated(ctx context.Context) context.Context {
	return context.WithValue(ctx, replicatedKey{}, true)
}

// replicatedKey marks the context of a command that a replica is to have.
type replicatedKey struct{}

// replicas waits for a replica after commands that are marked.
type replicas struct{ client *redis.Client }

// DialHook implements [redis.Hook].
func (replicas) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements [redis.Hook].
func (replicas) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements [redis.Hook]. WAIT tells of what its own connection wrote, so
// it goes over the same one, behind the command.
func (r replicas) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if ctx.Value(replicatedKey{}) == nil {
			return next(ctx, cmd)
		}
		// What a new connection says first is not to wait too, over one more connection each.
		ctx = context.WithValue(ctx, replicatedKey{}, nil)
		both := r.client.Pipeline()
		_ = both.Process(ctx, cmd) // only notes it
		wait := both.Do(ctx, "WAIT", 1, replicaWait.Milliseconds())
		_, _ = both.Exec(ctx) // each has its own error
		if err := cmd.Err(); err != nil {
			return err
		}
		n, err := wait.Int()
		if err == nil && n == 0 {
			err = errNotReplicated
		}
		return err
	}
}
