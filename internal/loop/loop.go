// Package loop runs work again and again, and says once that it fails.
package loop

import (
	"context"
	"log/slog"
	"time"
)

// A Loop is when work is done again, and who is told that it fails.
type Loop struct {
	// Every is the pause between two times.
	Every time.Duration
	// Wake ends a pause early; nil = nothing does.
	Wake <-chan struct{}
	// Failed is told the first error of a row, but not what came of the loop's own end.
	Failed func(error)
}

// Run does the work at once and then again and again, until ctx ends. Work that returns true has
// more to do and is not paused for.
func (l Loop) Run(ctx context.Context, work func(context.Context) (more bool, err error)) {
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		more, err := work(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			l.Failed(err)
		}
		if failing = err != nil; more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-l.Wake:
		}
	}
}

// Background does work now and then until ctx ends; a failure is logged, once in a row.
// It returns nil, so that it can be what a goroutine of a group does.
func Background(ctx context.Context, log *slog.Logger, every time.Duration, what string,
	work func(context.Context) error) error {
	Loop{Every: every, Failed: func(err error) {
		log.WarnContext(ctx, "background work fails, and goes on trying", "work", what, "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, work(ctx) })
	return nil
}
