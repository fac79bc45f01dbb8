package web

import (
	"context"
	"math/rand/v2"
	"time"

	"longshore/internal/hub"
	"longshore/job"
)

// wait waits for jobs until one has moved, the time is over, the client has
// left, or the server stops. It takes up to a tenth off the time, so that
// waiters who came together don't come back together.
func (s *Server) wait(ctx context.Context, d time.Duration, wants ...hub.Want) ([]job.Rev, error) {
	moved, err := s.Hub.Wait(ctx, d-rand.N(d/10+1), wants...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // nobody is there to be answered
	}
	return moved, err
}

// lastLook is what the read after a wait may take beyond the wait's end: whoever
// has waited is answered within a second of it, though Redis hangs.
const lastLook = 800 * time.Millisecond

// readsEnd is how long a read may take by itself: it may be behind another one in a
// Redis that hangs.
const readsEnd = 10 * time.Second

// afterWait is the context of that read; until is the wait's end, zero if there was none.
func afterWait(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if until.IsZero() || time.Until(until) > readsEnd {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until.Add(lastLook))
}
