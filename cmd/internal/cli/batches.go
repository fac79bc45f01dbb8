package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) batchesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "batches", Short: "Open and close batches: jobs that end when the jobs submitted into them have",
		Long: "Open and close batches. A batch is a job that ends when all jobs have that were submitted into it,\n" +
			"with --batch: get, wait, watch and cancel work on it as on any other.",
		Example: "  B=$(enqueue batches open --then '{\"type\":\"zip.pack\"}')\n" +
			"  enqueue submit image.thumbnail photo.jpg --batch $B\n" +
			"  enqueue batches close $B && enqueue wait $B",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return Usage("a command is missing")
		},
	}
	cmd.AddCommand(p.openBatchCommand(), p.closeBatchCommand(), p.batchJobsCommand())
	return cmd
}

func (p *CLI) openBatchCommand() *cobra.Command {
	var b client.Batch
	var then, labels string
	var expires, retention duration
	cmd := &cobra.Command{
		Use: "open", Short: "Open a batch, and print its id",
		Long: "Open a batch, and print its id. It takes jobs until it is closed.",
		Example: "  enqueue batches open --name thumbnails --then '{\"type\":\"zip.pack\"}'\n" +
			"  enqueue batches open --then then.json --on-failure run",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			b.ExpiresIn, b.Retention = time.Duration(expires), time.Duration(retention)
			if labels != "" {
				l, err := job.ParseLabels(labels)
				if err != nil {
					return Usage("--labels: %w", err)
				}
				b.Labels = l
			}
			text, err := thenOf(then)
			if err != nil {
				return err
			}
			snap, _, err := c.OpenBatchJSON(ctx, b, text)
			if err != nil {
				return err
			}
			if p.format != "text" {
				return p.printJob(snap)
			}
			_, err = fmt.Fprintln(p.out, snap.ID)
			return err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&b.Name, "name", "", "what it is called")
	f.StringVar(&labels, "labels", "", "names and values to find it by, as user=7,kind=x")
	f.Var(&expires, "expires-in", "when it ends at the latest (default 168h)")
	f.Var(&retention, "retention", "how long to keep it, and with it its jobs, after its end")
	f.StringVar(&b.CallbackURL, "callback-url", "", "post the batch, signed, to this address when it has ended")
	f.StringVar(&then, "then", "", "the job that runs when all have ended, as JSON or the name of a file with it")
	f.StringVar(&b.OnFailure, "on-failure", "", "of a job: cancel what comes then (cancel), or run it all the same (run)")
	f.StringVar(&b.IdempotencyKey, "idempotency-key", "", "with the same key a second open returns the first batch")
	return cmd
}

// thenOf is what comes then: JSON, or a file with it.
func thenOf(said string) (json.RawMessage, error) {
	if said == "" {
		return nil, nil
	}
	text := []byte(said)
	if said[0] != '{' {
		var err error
		if text, err = os.ReadFile(said); err != nil {
			return nil, Usage("--then: %w", err)
		}
		text = unmarked(text)
	}
	if !json.Valid(text) {
		return nil, Usage("--then: expected JSON, or the name of a file with it")
	}
	return text, nil
}

func (p *CLI) closeBatchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "close ID", Short: "Let no more jobs into a batch",
		Long:    "Let no more jobs into a batch, and print it: it ends when those that are there have. Again it does nothing.",
		Example: "  enqueue batches close 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeID,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			snap, err := c.CloseBatch(ctx, job.ID(args[0]))
			if err != nil {
				return err
			}
			return p.printJob(snap)
		}),
	}
}

func (p *CLI) batchJobsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "jobs ID", Short: "List the jobs of a batch",
		Long:    "List the jobs of a batch, in the order in which they were made.",
		Example: "  enqueue batches jobs 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeID,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			var all []job.Snapshot
			for snap, err := range c.BatchJobs(ctx, job.ID(args[0])) {
				if err != nil {
					return err
				}
				all = append(all, snap)
			}
			return showList(p, all, func(t *tabwriter.Writer) {
				fmt.Fprintln(t, "ID\tNAME\tTYPE\tSTATE\t")
				for i := range all {
					s := &all[i]
					state := string(s.State)
					if state == "" {
						state = "gone"
					}
					printable.Fprintf(io.Writer(t), "%s\t%s\t%s\t%s\t\n", s.ID, s.Name, s.Type, state)
				}
			})
		}),
	}
}
