package within

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"longshore/cmd/internal/cli"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/job"
)

// records says whether records were damaged, or what stands beside them was.
func (d *doctor) records(ctx context.Context, store *jobstore.Store) {
	health, err := store.Health(ctx)
	if err != nil {
		d.Fail(cli.ExitUnavailable, "records", "", "%v", err)
		return
	}
	if len(health.Aside) > 0 {
		var ids []string
		for _, id := range health.Aside {
			ids = append(ids, string(id))
		}
		d.Warn("records", "see enqueue doctor --record ID; what can be read again, --fix takes back",
			"%d can't be read and are set aside: %s", health.AsideCount, strings.Join(ids, ", "))
	}
	if health.Spoilt {
		d.Warn("records", "run enqueue doctor --fix",
			"keys of Longshore were changed from outside: counters may be wrong, and jobs missing in lists")
	}
	if health.Foreign > 0 {
		d.Warn("records", "enqueue asynq-move makes jobs of them; whoever enqueues there is to use queues of its own",
			"%d tasks that an asynq client pushed into queues of Longshore are set aside", health.Foreign)
	}
	if len(health.Aside) == 0 && !health.Spoilt && health.Foreign == 0 {
		d.OK("records", "none is damaged")
	}
}

// Fix rebuilds what stands beside the records.
func (within) Fix(ctx context.Context, p *cli.CLI) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	return connect.Records(ctx, connection(s), func(store *jobstore.Store) error {
		sum, err := store.Fix(ctx)
		if err != nil {
			return err
		}
		p.Say(
			"%d jobs: %d lacked something and have it again, %d lists of a type were written anew, %d entries of jobs "+
				"that are gone were dropped; all is counted", sum.Records, sum.Mended, sum.Renewed,
			sum.Pruned)
		for _, id := range sum.Damaged {
			p.Say("%s can't be read, and is set aside: see enqueue doctor --record %s", id, id)
		}
		if sum.Newer > 0 {
			p.Say("%d are a newer release's and were left alone", sum.Newer)
		}
		return nil
	})
}

// Dissect tells all that there is about one job.
func (within) Dissect(ctx context.Context, p *cli.CLI, id job.ID) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	var facts []jobstore.Fact
	err = connect.Records(ctx, connection(s), func(store *jobstore.Store) error {
		facts, err = store.Dissect(ctx, id)
		return err
	})
	if errors.Is(err, job.ErrNotFound) {
		return cli.Exit(cli.ExitNotFound, fmt.Errorf("there is nothing about job %s", id))
	} else if err != nil {
		return err
	}
	said := map[string]string{}
	for _, f := range facts {
		said[f.Name] = f.Value
	}
	return p.Show(said, func(t *tabwriter.Writer) {
		for _, f := range facts {
			printable.Fprintf(t, "%s\t%s\n", f.Name, f.Value)
		}
	})
}
