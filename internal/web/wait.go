package web

import (
	"context"
	"math/rand/v2"
	"time"

	"longshore/internal/hub"
	"longshore/job"
)

// grant cuts a wish to wait down to what we give.
func (s *Server) grant(wish time.Duration) time.Duration {
	return min(max(wish, 0), s.MaxWait)
}

// wait waits for jobs until one has moved, the time is over, the client has
// left, or the server stops. It takes up to a tenth off the time, so that
// waiters who came together don't come back together.
func (s *Server) wait(ctx context.Context, d time.Duration, wants ...hub.Want) ([]job.Rev, error) {
	ctx, cancel := context.WithTimeout(ctx, d-rand.N(d/10+1))
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return s.Hub.Wait(ctx, wants...)
}
