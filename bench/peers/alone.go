package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Sizes of a store that has been used for a while.
const (
	manyPending  = 1_000_000
	manyRetained = 100_000
)

// alone measures what only Longshore has: jobs retained after their end, what
// a full store costs, and submission over HTTP.
func alone(ctx context.Context, r *rig, o options, stderr io.Writer) (string, error) {
	text :=
		"\nLongshore alone; HTTP submissions come from raw connections on the same cores, one job a request:\n\n| measure | figure |\n|---|---|\n"
	row := func(name, format string, args ...any) {
		text += fmt.Sprintf("| %s | "+format+" |\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(stderr, "longshore alone: submission over HTTP")
	for _, clients := range []int{1, 64} {
		l, err := httpRate(ctx, r, clients, 3*time.Second)
		if err != nil {
			return "", fmt.Errorf("submission over HTTP: %w", err)
		}
		row(fmt.Sprintf("HTTP submit, %d clients", clients),
			"%.0f jobs/s; CPU a job: web %d, Redis %d, clients %d µs", l.rate, l.web.Microseconds(),
			l.redis.Microseconds(), l.clients.Microseconds())
	}
	if !o.big {
		return text, nil
	}
	fmt.Fprintln(stderr, "longshore alone: a full store")
	var empty, full, ratio, retained []float64
	for range o.rounds {
		none, _, err := cost(ctx, r, 0, 0, o.jobs)
		if err != nil {
			return "", err
		}
		many, bytes, err := cost(ctx, r, manyRetained, manyPending, o.jobs)
		if err != nil {
			return "", err
		}
		empty, full, ratio, retained = append(empty, none), append(full, many), append(ratio, many/none),
			append(retained, bytes)
	}
	row("store, bytes a retained job", "%.0f", median(retained))
	row("CPU a job of worker and Redis, empty store", "%s µs", spread(empty, "%.0f"))
	row(fmt.Sprintf("the same with %d pending and %d retained", manyPending, manyRetained), "%s µs (× %s)",
		spread(full, "%.0f"), spread(ratio, "%.2f"))
	return text, nil
}

// cost drains n jobs of a store that holds others, and returns the CPU time of
// worker and Redis a job in µs, and the bytes that Redis needs for a job that
// is retained.
func cost(ctx context.Context, r *rig, retained, pending, n int) (us, bytes float64, err error) {
	if err := r.server.clear(ctx); err != nil {
		return 0, 0, err
	}
	before, err := r.server.stored(ctx)
	if err != nil {
		return 0, 0, err
	}
	if retained > 0 {
		if err := errors.Join(r.more(ctx, retained), r.work(ctx, retained, nil)); err != nil {
			return 0, 0, err
		}
	}
	held, err := r.server.stored(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := r.more(ctx, pending+n); err != nil {
		return 0, 0, err
	}
	err = r.work(ctx, n, &us)
	return us, float64(held-before) / float64(max(retained, 1)), err
}

// more submits without clearing.
func (r *rig) more(ctx context.Context, n int) error {
	p, err := start(r.peer.command(r.dir, "bulk", fmt.Sprint(n)), r.server.url())
	if err != nil {
		return err
	}
	defer p.stop()
	_, err = p.await(ctx, "took")
	return err
}

// work runs one worker until it has done n jobs; us gets the CPU time a job.
func (r *rig) work(ctx context.Context, n int, us *float64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	workers, err := r.workers(ctx, 1)
	defer stopAll(workers)
	if err != nil {
		return err
	}
	pid := workers[0].cmd.Process.Pid
	before := treeUsage(pid).cpu + r.server.usage().cpu
	c, err := r.follow(ctx, workers, n)
	if err != nil {
		return err
	}
	if us != nil {
		*us = float64((treeUsage(pid).cpu + r.server.usage().cpu - before).Microseconds()) / float64(c.count)
	}
	return nil
}

// spread is the median, the least and the most.
func spread(v []float64, format string) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(v), slices.Min(v), slices.Max(v))
}
