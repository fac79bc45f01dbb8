package redisdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long a command may wait before a stalled server is thought of, how long
// that server then has to answer a PING, and how soon it is asked again. The
// first two together are less than ioTimeout, so a command that meets the stall
// is not repeated into it.
const (
	doubtAfter = time.Second
	pingLimit  = 1500 * time.Millisecond
	pingAgain  = 250 * time.Millisecond
)

// errStalled refuses commands to a server that takes connections and answers
// nothing. It counts as a timeout.
var errStalled = fmt.Errorf("redis does not answer a PING: %w", os.ErrDeadlineExceeded)

// A stall keeps all commands of a process from finding out one by one that the
// server hangs: each would take ioTimeout, twice, after a wait for one of the few
// connections. One PING at a time asks for all of them.
type stall struct {
	client  *redis.Client // whose commands these are
	down    atomic.Bool   // the last PING got no answer
	doubted atomic.Bool   // somebody asks
}

// watchStalls makes a client refuse commands at once while its server hangs.
func watchStalls(client *redis.Client) {
	client.AddHook(&stall{client: client})
}

// DialHook implements [redis.Hook]. Whoever waited for a connection's turn while
// the server hung needs a new one, since those in use have timed out.
func (s *stall) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s.down.Load() {
			return nil, errStalled
		}
		return next(ctx, network, addr)
	}
}

// ProcessHook implements [redis.Hook].
func (s *stall) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.down.Load() && ctx.Value(stallKey{}) == nil {
			return errStalled
		}
		defer time.AfterFunc(doubtAfter, s.doubt).Stop()
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (s *stall) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.down.Load() {
			for _, cmd := range cmds {
				cmd.SetErr(errStalled)
			}
			return errStalled
		}
		defer time.AfterFunc(doubtAfter, s.doubt).Stop()
		return next(ctx, cmds)
	}
}

// stallKey marks the context of a command that is not refused.
type stallKey struct{}

// doubt asks the server, over a connection of its own, until it answers, is
// gone, or nobody uses the client any more.
func (s *stall) doubt() {
	if !s.doubted.CompareAndSwap(false, true) {
		return
	}
	defer s.doubted.Store(false)
	o := *s.client.Options()
	o.PoolSize, o.MaxActiveConns, o.MaxIdleConns = 1, 1, 1
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = pingLimit, pingLimit, pingLimit, pingLimit
	own := redis.NewClient(&o)
	defer func() { _ = own.Close() }()
	for !s.closed() && !answers(own) {
		s.down.Store(true)
		time.Sleep(pingAgain)
	}
	s.down.Store(false)
}

// answers reports whether a server is not stalled: it says something, or there is
// nobody who could, which commands find out soon by themselves.
func answers(client *redis.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), pingLimit)
	defer cancel()
	return Reason(client.Ping(ctx).Err()) != ReasonTimeout
}

// closed reports whether the client has been closed. It sends nothing: a client
// that is open sees first that the context has ended.
func (s *stall) closed() bool {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), stallKey{}, true))
	cancel()
	return errors.Is(s.client.Ping(ctx).Err(), redis.ErrClosed)
}
