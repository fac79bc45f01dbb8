//go:build !windows

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/job"
)

// records says whether records were damaged, or what stands beside them was.
func (d *doctor) records(ctx context.Context, store *jobstore.Store) {
	health, err := store.Health(ctx)
	if err != nil {
		d.fail(exitUnavailable, "records", "", "%v", err)
		return
	}
	if len(health.Aside) > 0 {
		var ids []string
		for _, id := range health.Aside {
			ids = append(ids, string(id))
		}
		d.warn("records", "see enqueue doctor --record ID; what can be read again, --fix takes back",
			"%d can't be read and are set aside: %s", health.AsideCount, strings.Join(ids, ", "))
	}
	if health.Spoilt {
		d.warn("records", "run enqueue doctor --fix",
			"keys of Longshore were changed from outside: counters may be wrong, and jobs missing in lists")
	}
	if health.Foreign > 0 {
		d.warn("records", "enqueue asynq-move makes jobs of them; whoever enqueues there is to use queues of its own",
			"%d tasks that an asynq client pushed into queues of Longshore are set aside", health.Foreign)
	}
	if len(health.Aside) == 0 && !health.Spoilt && health.Foreign == 0 {
		d.ok("records", "none is damaged")
	}
}

// fix rebuilds what stands beside the records.
func (p *cli) fix(ctx context.Context) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	return connect.Records(ctx, connection(s), func(store *jobstore.Store) error {
		sum, err := store.Fix(ctx)
		if err != nil {
			return err
		}
		p.say(
			"%d jobs: %d lacked something and have it again, %d lists of a type were written anew, %d entries of jobs "+
				"that are gone were dropped; all is counted", sum.Records, sum.Mended, sum.Renewed,
			sum.Pruned)
		for _, id := range sum.Damaged {
			p.say("%s can't be read, and is set aside: see enqueue doctor --record %s", id, id)
		}
		if sum.Newer > 0 {
			p.say("%d are a newer release's and were left alone", sum.Newer)
		}
		return nil
	})
}

// dissect tells all that there is about one job.
func (p *cli) dissect(ctx context.Context, arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	var facts []jobstore.Fact
	err = connect.Records(ctx, connection(s), func(store *jobstore.Store) error {
		facts, err = store.Dissect(ctx, id)
		return err
	})
	if errors.Is(err, job.ErrNotFound) {
		return &exit{exitNotFound, fmt.Errorf("there is nothing about job %s", id)}
	} else if err != nil {
		return err
	}
	if p.format != "text" {
		said := map[string]string{}
		for _, f := range facts {
			said[f.Name] = f.Value
		}
		return p.printJSON(said)
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range facts {
		printable.Fprintf(t, "%s\t%s\n", f.Name, f.Value)
	}
	_ = t.Flush() // a Buffer takes everything
	return p.write(b.Bytes())
}
