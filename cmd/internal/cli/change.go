package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A changeWish is what the flags of change say.
type changeWish struct {
	change        client.Change
	runAt, expiry moment
	labels        string
	rev           int64
}

// A moment is a flag for a time, or a word in its place: now for one that is over, never for none.
type moment struct {
	word  string
	given bool
	at    time.Time
}

func (m *moment) String() string {
	if !m.given {
		return ""
	}
	return m.at.Format(time.RFC3339)
}

func (m *moment) Set(text string) error {
	m.given = true
	if text == m.word {
		m.at = time.Unix(0, 0).UTC()
		return nil
	}
	if m.at.UnmarshalText([]byte(text)) != nil {
		return errors.New("expected " + m.word + ", or a time as 2006-01-02T15:04:05Z (RFC 3339)")
	}
	return nil
}

func (m *moment) Type() string { return "time" }

func (p *CLI) changeCommand() *cobra.Command {
	var b bulkWish
	w := changeWish{runAt: moment{word: "now"}, expiry: moment{word: "never"}}
	cmd := &cobra.Command{
		Use:   "change ID",
		Short: "Have a job that waits wait otherwise",
		Long: "Have a job that waits wait otherwise: for another time, in another queue, under other labels\n" +
			"and limits, and print it. What runs, or has begun, stays as it is; of a job that has ended\n" +
			"only --retention can be changed. With --rev only if the job still has that revision.\n" +
			"Without an ID, --run-at, --priority and --to-queue are for all jobs that the flags select: their number\n" +
			"is told first.",
		Example: "  enqueue change 01a20967-50f3-73e0-89b5-4af387a3557a --run-at now --priority high\n" +
			"  enqueue change --state queued --type log.analyze --priority low",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeID,
	}
	p.bulkFlags(cmd, &b)
	f := cmd.Flags()
	f.Var(&w.runAt, "run-at", "not before this time (RFC 3339), or now")
	f.StringVar((*string)(&w.change.Priority), "priority", "", job.PriorityNames())
	f.StringVar(&w.change.Queue, "to-queue", "", "the queue that it is to wait in; default is one")
	f.StringVar(&w.labels, "labels", "", "all its labels, as user=7,batch=x; none where it is empty")
	f.Var(&w.expiry, "expires-at", "give up unless started by this time (RFC 3339), or never")
	f.StringVar(&w.change.ExpiresIn, "expires-in", "", "the same, from now, as 90s or 2h")
	f.StringVar(&w.change.Timeout, "timeout", "", "time limit of one attempt, as 90s or 2h")
	f.IntVar(&w.change.MaxAttempts, "max-attempts", 0, "how often to try")
	f.StringVar(&w.change.Retention, "retention", "", "how long to keep the job after its end, as 90s or 2h")
	f.Int64Var(&w.rev, "rev", 0, "only if it has this revision")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := w.read(cmd.Flags().Changed("labels")); err != nil {
			return err
		}
		if single, err := b.one(args); err == nil && !single {
			if b.change, err = w.many(); err != nil {
				return err
			}
		}
		return p.manyOrOne("change", &b, func(ctx context.Context, at Installation, id job.ID) error {
			snap, err := at.Change(ctx, id, w.change, w.rev)
			if err != nil {
				return err
			}
			return p.printJob(snap)
		})(cmd, args)
	}
	return cmd
}

// read checks what the flags say, and puts it into the change.
func (w *changeWish) read(labels bool) error {
	if w.runAt.given {
		w.change.RunAt = &w.runAt.at
	}
	switch {
	case w.expiry.given && w.change.ExpiresIn != "":
		return Usage("--expires-at and --expires-in don't go together")
	case w.expiry.given && w.expiry.at.Unix() == 0:
		w.change.ExpiresIn = "0s"
	case w.expiry.given:
		w.change.ExpiresAt = &w.expiry.at
	}
	for flag, text := range map[string]string{"expires-in": w.change.ExpiresIn, "timeout": w.change.Timeout,
		"retention": w.change.Retention} {
		if text == "" {
			continue
		}
		if _, err := httpapi.ParseDuration(text); err != nil {
			return Usage("--%s: %w", flag, err)
		}
	}
	if labels {
		l, err := job.ParseLabels(w.labels)
		if err != nil {
			return Usage("--labels: %w", err)
		}
		if l == nil {
			l = job.Labels{}
		}
		w.change.Labels = &l
	}
	if w.change == (client.Change{}) {
		return Usage("what is to be changed? say it, as by --run-at")
	}
	return nil
}

// many is the change of many jobs: not all can be one.
func (w *changeWish) many() (*client.BulkChange, error) {
	said := &client.BulkChange{Priority: string(w.change.Priority), Queue: w.change.Queue}
	if w.change.RunAt != nil {
		said.RunAt = w.change.RunAt.Format(time.RFC3339Nano)
	}
	if w.change != (client.Change{RunAt: w.change.RunAt, Priority: w.change.Priority,
		Queue: w.change.Queue}) || w.rev != 0 {
		return nil, Usage("of many jobs --run-at, --priority and --to-queue can be changed: for all else name one")
	}
	return said, nil
}
