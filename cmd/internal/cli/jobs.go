package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"longshore/internal/httpapi"
	"longshore/job"
)

func (p *CLI) getCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Print a job as it is now",
		Long: "Print a job as it is now: its state, progress, attempts, and what it made. --format json\n" +
			"prints what GET /v1/jobs/ID answers.",
		Example:           "  enqueue get 01a20967-50f3-73e0-89b5-4af387a3557a --format json | jq .progress",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeID,
		RunE: p.onJob(func(ctx context.Context, at Installation, id job.ID) error {
			snap, err := at.Get(ctx, id)
			if err != nil {
				return err
			}
			return p.printJob(snap)
		}),
	}
}

func (p *CLI) waitCommand() *cobra.Command {
	var limit duration
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Follow a job to its end and print it",
		Long: "Follow a job to its end and print it. The exit code says how it ended: 0 succeeded,\n" +
			"3 failed, 4 canceled or expired, 124 when --for ran out first. An interrupt leaves\n" +
			"the job alone.",
		Example:           "  enqueue wait 01a20967-50f3-73e0-89b5-4af387a3557a --for 5m",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeID,
		RunE: p.onJob(func(ctx context.Context, at Installation, id job.ID) error {
			snap, err := p.follow(ctx, at, id, time.Duration(limit), false)
			if err != nil {
				return err
			}
			return ended(snap)
		}),
	}
	cmd.Flags().Var(&limit, "for", "how long to wait; without it until the job ends")
	return cmd
}

// follow shows a job's progress until it ends, and then prints it, unless it shall be
// quiet on stdout. On an interrupt it tells the id, so that the job can be found again.
func (p *CLI) follow(ctx context.Context, at Installation, id job.ID, limit time.Duration,
	quiet bool) (job.Snapshot, error) {
	limited := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, limit, errWaitRanOut)
		defer cancel()
	}
	show := p.newProgress()
	defer show.close()
	var last job.Snapshot
	for snap, err := range at.Follow(limited, id) {
		if err != nil {
			show.close()
			if ctx.Err() != nil {
				p.Say("detached; the job goes on: enqueue wait %s", id)
				return last, p.detached(id, last, quiet)
			}
			if last.ID != "" && p.format != "jsonl" && !quiet {
				_ = p.printJob(last) // as far as we saw it; the error counts
			}
			return last, err
		}
		last = snap
		show.job(snap)
		if p.format == "jsonl" {
			if err := p.printJob(snap); err != nil {
				return last, err
			}
		}
	}
	show.close()
	if p.format == "jsonl" || quiet {
		return last, nil
	}
	return last, p.printJob(last)
}

// detached writes the id to stdout where nothing was written yet.
func (p *CLI) detached(id job.ID, last job.Snapshot, quiet bool) error {
	switch {
	case quiet:
	case p.format == "text":
		fmt.Fprintln(p.out, id)
	case p.format == "json":
		if last.ID != "" {
			_ = p.printJob(last)
		}
	}
	return fmt.Errorf("interrupted while waiting for job %s", id)
}

// onJob is the body of a command that does one thing with the job that its
// argument names.
func (p *CLI) onJob(do func(context.Context, Installation, job.ID) error) func(*cobra.Command,
	[]string) error {
	return func(cmd *cobra.Command, args []string) error {
		id, err := ParseID(args[0])
		if err != nil {
			return err
		}
		return p.with(cmd.Context(), func(at Installation) error { return do(cmd.Context(), at, id) })
	}
}

// ParseID reads the id of a job; the error is one of the command line.
func ParseID(arg string) (job.ID, error) {
	id, err := job.ParseID(arg)
	if err != nil {
		return "", Usage("%q is no job id: %w", arg, err)
	}
	return id, nil
}

// A duration is a flag in the form that the HTTP interface takes too.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return httpapi.FormatDuration(time.Duration(*d))
}

func (d *duration) Set(text string) error {
	parsed, err := httpapi.ParseDuration(text)
	if err == nil && parsed <= 0 {
		err = fmt.Errorf("expected more than nothing")
	}
	*d = duration(parsed)
	return err
}

func (d *duration) Type() string { return "duration" }
