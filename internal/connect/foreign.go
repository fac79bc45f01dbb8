package connect

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A foreignLog tells of tasks that others enqueue into our queues: the first at once, then of all that came
// meanwhile, once a minute at most.
type foreignLog struct {
	log *slog.Logger

	mu   sync.Mutex
	n    int64
	said time.Time
}

func (l *foreignLog) say(ctx context.Context, n int64) {
	l.mu.Lock()
	l.n += n
	if time.Since(l.said) < time.Minute {
		l.mu.Unlock()
		return
	}
	n, l.n, l.said = l.n, 0, time.Now()
	l.mu.Unlock()
	l.log.WarnContext(ctx, "an asynq client enqueues into queues of this installation: its tasks are set aside",
		"tasks", n, "hint", "enqueue asynq-move makes jobs of them")
}
