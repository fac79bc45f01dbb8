package within

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"longshore/cmd/internal/cli"
	"longshore/config"
	"longshore/internal/asynqmove"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/internal/redisdb"
	"longshore/tasks"
)

// AsynqMove makes jobs of the tasks in asynq's queues.
func (within) AsynqMove(ctx context.Context, p *cli.CLI, m cli.AsynqMove) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	if m.From == "" {
		m.From = s.AsynqRedis.Reveal()
	} else if strings.Contains(m.From, "@") {
		return cli.Usage("--from: who lists processes sees it: set ASYNQ_REDIS_URL to an address with a password")
	}
	sys, err := connect.Open(ctx, loud(p, s))
	if err != nil {
		return unconnected(err)
	}
	c := asynqmove.Config{From: sys.Redis, Redis: sys.Redis, Store: sys.Store, Queues: m.Queues,
		Tell: func(t asynqmove.Stuck) { p.Say("%s: task %q stays: %s", t.Queue, t.ID, t.Why) }}
	if m.From == "" {
		return errors.Join(moveBy(ctx, p, s, sys, c, m.Follow), sys.Close())
	}
	c.From, err = redisdb.Open(redisdb.Config{URL: m.From, TLSInsecure: s.Redis.TLSInsecure})
	if err != nil {
		return errors.Join(cli.Usage("--from: %w", err), sys.Close())
	}
	return errors.Join(moveBy(ctx, p, s, sys, c, m.Follow), c.From.Close(), sys.Close())
}

// moveBy moves tasks with all that a submission needs running.
func moveBy(ctx context.Context, p *cli.CLI, s config.Enqueue, sys *connect.System, c asynqmove.Config,
	follow bool) error {
	catalog, err := tasks.NewBuiltIn()
	if err != nil {
		return err
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		p.Say("some published types are not known: %v", err)
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
		return cli.Usage("--queues: %w", err)
	} else if err != nil {
		return unconnected(err)
	}
	said := ""
	if err := mover.Run(ctx, follow, func(err error) {
		if text := err.Error(); text != said { // it goes on trying
			said = text
			p.Say("%v; trying again", err)
		}
	}); err != nil {
		return unconnected(err)
	}
	return sayMoved(context.WithoutCancel(ctx), p, mover)
}

// sayMoved tells what was moved, and what wasn't.
func sayMoved(ctx context.Context, p *cli.CLI, mover *asynqmove.Mover) error {
	left, err := mover.Left(ctx)
	if err != nil {
		return unconnected(err)
	}
	all := map[string]any{"moved": mover.Moved, "stay": mover.Stuck, "left": left}
	err = p.Show(all, func(w *tabwriter.Writer) {
		for _, queue := range slices.Sorted(maps.Keys(mover.Moved)) {
			printable.Fprintf(w, "%s: %d tasks are jobs now\n", queue, mover.Moved[queue])
		}
		for _, l := range left {
			printable.Fprintf(w, "%s: left to asynq: %d active, %d in groups, %d archived, %d completed\n",
				l.Queue, l.Active, l.Grouped, l.Archived, l.Completed)
		}
	})
	if err == nil && mover.Stuck > 0 {
		err = cli.Exit(cli.ExitOther, fmt.Errorf("%d tasks stay where they are", mover.Stuck))
	}
	return err
}
