package api

import (
	"context"
	"math/rand/v2"
	"time"

	"longshore/internal/httpapi"
)

// scans let some requests at a time walk over many records, which are asked for in few bytes: that keeps
// Redis and us free for what jobs need. It has one for each walk under way.
type scans chan struct{}

const (
	maxScans     = 4               // walks under way
	scanPatience = 2 * time.Second // of the others
)

func newScans() scans { return make(scans, maxScans) }

// enter waits for a walk's turn. Who has it leaves.
func (s scans) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-s }
	select {
	case s <- struct{}{}:
		return leave, nil
	default:
	}
	patience := time.NewTimer(scanPatience)
	defer patience.Stop()
	select {
	case s <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-patience.C:
		return nil, httpapi.NewError(httpapi.RateLimited,
			"too many lists are read, come back in some seconds").
			WithRetryAfter(time.Duration(1+rand.N(3)) * time.Second)
	}
}
