package cli

import (
	"context"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) callbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "callback",
		Short: "How callbacks of jobs are delivered, and once more",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return Usage("a command is missing") },
	}
	cmd.AddCommand(p.callbackShowCommand(), p.callbackResendCommand())
	return cmd
}

func (p *CLI) callbackShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Tell how the delivery of a job's callback goes, try by try",
		Example:           "  enqueue callback show 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeID,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			cb, err := c.Callback(ctx, id)
			if err != nil {
				return err
			}
			return p.printCallback(cb)
		}),
	}
}

func (p *CLI) callbackResendCommand() *cobra.Command {
	var b bulkWish
	cmd := &cobra.Command{
		Use:   "resend ID",
		Short: "Send the callback of a job that has ended once more",
		Long: "Send the callback of a job that has ended once more, whatever became of it. One that is\n" +
			"still to be delivered is sent at once.\n" +
			"Without an ID, for all jobs that the flags select: their number is told first.",
		Example: "  enqueue callback resend 01a20967-50f3-73e0-89b5-4af387a3557a\n" +
			"  enqueue callback resend --state succeeded --since 2h",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeID,
	}
	p.bulkFlags(cmd, &b)
	cmd.RunE = p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
		single, err := b.one(args)
		if err != nil {
			return err
		}
		if !single {
			return p.bulk(ctx, c, "resend", &b)
		}
		id, err := ParseID(args[0])
		if err != nil {
			return err
		}
		cb, err := c.ResendCallback(ctx, id)
		if err != nil {
			return err
		}
		return p.printCallback(cb)
	})
	return cmd
}

func (p *CLI) printCallback(cb job.Callback) error {
	return p.Show(cb, func(t *tabwriter.Writer) {
		printable.Fprintf(t, "%s\t%s\n", cb.State, cb.URL)
		for _, try := range cb.Tries {
			printable.Fprintf(t, "%d\t%s\t%d\t%s\t%s\n", try.Attempt, try.At.Format("2006-01-02T15:04:05Z"),
				try.Status, try.Error, try.Answer)
		}
	})
}
