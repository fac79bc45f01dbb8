package redisdb

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Observe has a client tell of each call that it makes, a pipeline being one: how long it
// took and, where it failed, how. An answer that something isn't there is no failure, nor
// is an error that a server or a script answers with for a reason of its own.
func Observe(client redis.UniversalClient, done func(took time.Duration, err error)) {
	client.AddHook(observer(done))
}

type observer func(took time.Duration, err error)

// DialHook implements [redis.Hook].
func (o observer) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return next(ctx, network, addr)
	}
}

// ProcessHook implements [redis.Hook].
func (o observer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmd)
		o(time.Since(begun), failure(err))
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (o observer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmds)
		o(time.Since(begun), failure(err))
		return err
	}
}

// failure leaves of errors those that say something of the server or the way to it.
func failure(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || !Unavailable(err) {
		return nil
	}
	return err
}
