package localredis

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// clockTick is how often the stand-in's clock is moved on: it expires keys only
// when told how much time has passed.
const clockTick = 100 * time.Millisecond

// A memory is the in-process stand-in.
type memory struct {
	redis *miniredis.Miniredis
	quit  context.CancelFunc
	done  chan struct{} // closed when all has ended
}

// StartMemory starts the in-process stand-in on a free port of 127.0.0.1. It
// runs the same scripts, about ten times slower, and keeps nothing. Kill, Pause,
// Resume and Restart are not supported on it. The context is for the start only.
func StartMemory(ctx context.Context) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := miniredis.NewMiniRedis()
	if err := r.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start in-memory redis: %w", err)
	}
	filter := &scriptFilter{digests: make(map[string]string)}
	r.Server().SetPreHook(filter.hook)
	running, quit := context.WithCancel(context.WithoutCancel(ctx))
	m := &memory{redis: r, quit: quit, done: make(chan struct{})}
	go m.run(running)
	return &Server{url: "redis://" + r.Addr(), memory: m}, nil
}

// run moves the clock until quit, then ends the server.
func (m *memory) run(ctx context.Context) {
	defer close(m.done)
	defer m.redis.Close()
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			m.redis.FastForward(now.Sub(last))
			last = now
		}
	}
}

func (m *memory) close() {
	m.quit()
	<-m.done
}
