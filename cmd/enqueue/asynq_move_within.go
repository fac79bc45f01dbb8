//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"longshore/config"
	"longshore/internal/asynqmove"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/internal/redisdb"
	"longshore/tasks"
)

func (p *cli) asynqMove(ctx context.Context, m asynqMove) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	if m.from == "" {
		m.from = s.AsynqRedis.Reveal()
	} else if strings.Contains(m.from, "@") {
		return usage("--from: who lists processes sees it: set ASYNQ_REDIS_URL to an address with a password")
	}
	sys, err := connect.Open(ctx, p.loud(s))
	if err != nil {
		return unconnected(err)
	}
	c := asynqmove.Config{From: sys.Redis, Redis: sys.Redis, Store: sys.Store, Queues: m.queues,
		Tell: func(t asynqmove.Stuck) { p.say("%s: task %q stays: %s", t.Queue, t.ID, t.Why) }}
	if m.from == "" {
		return errors.Join(p.moveBy(ctx, s, sys, c, m.follow), sys.Close())
	}
	c.From, err = redisdb.Open(redisdb.Config{URL: m.from, TLSInsecure: s.Redis.TLSInsecure})
	if err != nil {
		return errors.Join(usage("--from: %w", err), sys.Close())
	}
	return errors.Join(p.moveBy(ctx, s, sys, c, m.follow), c.From.Close(), sys.Close())
}

// moveBy moves tasks with all that a submission needs running.
func (p *cli) moveBy(ctx context.Context, s config.Enqueue, sys *connect.System, c asynqmove.Config,
	follow bool) error {
	catalog, err := tasks.NewBuiltIn()
	if err != nil {
		return err
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		p.say("some published types are not known: %v", err)
	}
	keeper := jobstore.NewKeeper(sys.Store, sys.Log)
	submitter := sys.Submitter(keeper, catalog, s.Jobs.Retention, int64(s.MaxUpload))
	submitter.MaxTimeout, submitter.MaxRetention, submitter.MaxAttempts = s.Ceilings.Timeout,
		s.Ceilings.Retention, s.Ceilings.Attempts
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		sys.Background(background, keeper.Run, sys.WatchRoom, sys.Limits.Run,
			func(ctx context.Context) error { return sys.RefreshTypes(ctx, catalog) })
	})
	defer running.Wait()
	defer stop()

	c.Submitter = submitter
	mover, err := asynqmove.New(ctx, c)
	if errors.Is(err, asynqmove.ErrQueue) {
		return usage("--queues: %w", err)
	} else if err != nil {
		return unconnected(err)
	}
	said := ""
	if err := mover.Run(ctx, follow, func(err error) {
		if text := err.Error(); text != said { // it goes on trying
			said = text
			p.say("%v; trying again", err)
		}
	}); err != nil {
		return unconnected(err)
	}
	return p.sayMoved(context.WithoutCancel(ctx), mover)
}

// sayMoved tells what was moved, and what wasn't.
func (p *cli) sayMoved(ctx context.Context, mover *asynqmove.Mover) error {
	left, err := mover.Left(ctx)
	if err != nil {
		return unconnected(err)
	}
	if p.format != "text" {
		err = p.printJSON(map[string]any{"moved": mover.Moved, "stay": mover.Stuck, "left": left})
	} else {
		for _, queue := range slices.Sorted(maps.Keys(mover.Moved)) {
			printable.Fprintf(p.out, "%s: %d tasks are jobs now\n", queue, mover.Moved[queue])
		}
		for _, l := range left {
			printable.Fprintf(p.out, "%s: left to asynq: %d active, %d in groups, %d archived, %d completed\n",
				l.Queue, l.Active, l.Grouped, l.Archived, l.Completed)
		}
	}
	if err == nil && mover.Stuck > 0 {
		err = &exit{exitOther, fmt.Errorf("%d tasks stay where they are", mover.Stuck)}
	}
	return err
}
