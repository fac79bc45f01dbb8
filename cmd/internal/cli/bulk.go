package cli

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/job"
)

// manyOrOne is the body of a command that is for one job, or, by flags, for many.
func (p *CLI) manyOrOne(action string, b *bulkWish,
	one func(context.Context, Installation, job.ID) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		single, err := b.one(args)
		if err != nil {
			return err
		}
		if single {
			return p.onJob(one)(cmd, args)
		}
		return p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			return p.bulk(ctx, c, action, b)
		})(cmd, args)
	}
}

func (p *CLI) cancelCommand() *cobra.Command {
	var b bulkWish
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ask for a job's end; a running one ends within seconds",
		Long: "Ask for a job's end. One that does not run ends at once, a running one within seconds:\n" +
			"the exit code only says that it was asked. Canceling an ended job does nothing.\n" +
			"Without an ID, for all jobs that the flags select: their number is told first.",
		Example: "  enqueue cancel 01a20967-50f3-73e0-89b5-4af387a3557a && enqueue wait 01a20967-50f3-73e0-89b5-4af387a3557a\n" +
			"  enqueue cancel --state queued --type log.analyze",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeID,
	}
	p.bulkFlags(cmd, &b)
	cmd.RunE = p.manyOrOne("cancel", &b, func(ctx context.Context, at Installation, id job.ID) error {
		snap, err := at.Cancel(ctx, id)
		if err != nil {
			return err
		}
		return p.printJob(snap)
	})
	return cmd
}

func (p *CLI) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "release ID",
		Short: "Let a job go that is held",
		Long: "Let a job go that was submitted with --hold, and print it. Who did stands in its story.\n" +
			"A second time it does nothing.",
		Example:           "  enqueue release 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeID,
		RunE: p.onJob(func(ctx context.Context, at Installation, id job.ID) error {
			snap, err := at.Release(ctx, id)
			if err != nil {
				return err
			}
			return p.printJob(snap)
		}),
	}
}

func (p *CLI) deleteCommand() *cobra.Command {
	var b bulkWish
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Forget an ended job, and delete its files",
		Long: "Forget an ended job, and delete its files, before its retention is over. One that has\n" +
			"not ended, or whose files another job works on, is left as it is: cancel it first.\n" +
			"Without an ID, for all jobs that the flags select: their number is told first.",
		Example: "  enqueue delete 01a20967-50f3-73e0-89b5-4af387a3557a\n" +
			"  enqueue delete --state failed --until 168h",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeID,
	}
	p.bulkFlags(cmd, &b)
	cmd.RunE = p.manyOrOne("delete", &b, func(ctx context.Context, at Installation, id job.ID) error {
		return at.Delete(ctx, id)
	})
	return cmd
}

func (p *CLI) retryCommand() *cobra.Command {
	var b bulkWish
	var sets []string
	payload, priority, again := "", "", false
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "Submit a new job that does what an ended one did",
		Long: "Submit a new job that does what an ended one did, with the same input, and print its id.\n" +
			"The old job stays as it ended. With --set or --payload the new one has another payload.\n" +
			"A job is retried once: --again says that it shall be once more.\n" +
			"Without an ID, for all jobs that the flags select: their number is told first.",
		Example: "  enqueue retry 01a20967-50f3-73e0-89b5-4af387a3557a --set width=800\n" +
			"  enqueue retry --state failed --type log.analyze --since 2h",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeID,
	}
	p.bulkFlags(cmd, &b)
	cmd.Flags().StringArrayVar(&sets, "set", nil, "one field of the payload, as name=value; again for more")
	cmd.Flags().StringVar(&payload, "payload", "", "the whole payload, as JSON")
	cmd.Flags().StringVar(&priority, "priority", "", job.PriorityNames())
	cmd.Flags().BoolVar(&again, "again", false, "although the job was retried before")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		changed := len(sets) > 0 || payload != "" || priority != "" || again
		if changed && len(args) == 0 {
			return Usage("--set, --payload, --priority and --again are for one job: name it")
		}
		if !changed {
			return p.manyOrOne("retry", &b, func(ctx context.Context, at Installation, id job.ID) error {
				snap, err := at.Retry(ctx, id)
				if err != nil {
					return err
				}
				return p.printID(snap)
			})(cmd, args)
		}
		set, err := setOf(sets)
		if err != nil {
			return err
		}
		r := client.RetryRequest{Set: set, Priority: job.Priority(priority), Again: again}
		if payload != "" {
			r.Payload = []byte(payload)
		}
		return p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			snap, err := c.RetryWith(ctx, id, r)
			if err != nil {
				return err
			}
			return p.printID(snap)
		})(cmd, args)
	}
	return cmd
}

// asksTerminal tells whether somebody is there to be asked.
func (p *CLI) asksTerminal() bool {
	in, ok := p.in.(*os.File)
	return ok && isTerminal(in)
}

// confirmed asks whether it shall be.
func (p *CLI) confirmed(ctx context.Context, action string) bool {
	p.Say("really %s them? (yes/no)", action)
	said := make(chan string, 1)
	go func() { // a read that blocks ends with the process
		line, _ := bufio.NewReader(io.LimitReader(p.in, 100)).ReadString('\n')
		said <- line
	}()
	select {
	case line := <-said:
		return strings.EqualFold(strings.TrimSpace(line), "yes") ||
			strings.EqualFold(strings.TrimSpace(line), "y")
	case <-ctx.Done():
		return false
	}
}
