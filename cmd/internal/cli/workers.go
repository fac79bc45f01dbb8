package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) drainCommand() *cobra.Command {
	var m client.WorkerMessage
	cmd := &cobra.Command{
		Use: "drain WORKER|all", Short: "Have a worker take nothing more and finish what it runs",
		Long: "Have a worker, or all, take nothing more and finish what they run, and wait until each has said that\n" +
			"it does. They stay, until resume.",
		Example: "  enqueue drain all --why deploy",
		Args:    cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			return p.tell(ctx, c, args[0], "drain", m)
		}),
	}
	cmd.Flags().StringVar(&m.Why, "why", "", "for others to read")
	return cmd
}

// tell tells workers something, and waits for what they answer.
func (p *CLI) tell(ctx context.Context, c *client.Client, worker, message string,
	m client.WorkerMessage) error {
	o, err := c.TellWorker(ctx, worker, message, m)
	if err == nil {
		o, err = p.toEnd(ctx, c, o)
	}
	if err != nil {
		return err
	}
	err = p.Show(o, func(t *tabwriter.Writer) {
		for _, w := range o.Workers {
			printable.Fprintf(t, "%s\t%s\t%s\n", w.ID, w.Outcome, w.Detail)
		}
	})
	if err == nil && o.State != "succeeded" {
		err = fmt.Errorf("%d of %d workers did not %s", len(o.Workers)-int(o.Moved), len(o.Workers), message)
	}
	return err
}

// toEnd follows an operation to its end. An interrupt leaves it running.
func (p *CLI) toEnd(ctx context.Context, c *client.Client, o client.Operation) (client.Operation, error) {
	for !o.Done {
		next, err := c.Operation(ctx, o.ID, o.Rev, 20*time.Second)
		if err != nil {
			if ctx.Err() != nil {
				p.Say("the operation goes on: enqueue ops %s, enqueue ops cancel %s", o.ID, o.ID)
			}
			return o, err
		}
		if next.Rev != o.Rev && next.Kind == "bulk" && p.format == "text" {
			p.Say("%d of about %d jobs", next.Moved, next.N)
		}
		o = next
	}
	return o, nil
}

func (p *CLI) workersCommand() *cobra.Command {
	bad, gone, since := false, false, ""
	cmd := &cobra.Command{
		Use: "workers", Short: "Show the workers, and what they run",
		Long: "Show the workers that are alive, what they run and what is wrong with them; with --gone those that\n" +
			"ended in the last 14 days, and what a lost one ran.",
		Example: "  enqueue workers --bad\n" +
			"  enqueue workers --gone --since 1h",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			if gone {
				list, err := c.GoneWorkers(ctx, since)
				if err != nil {
					return err
				}
				return p.Show(list, func(t *tabwriter.Writer) {
					for _, w := range list {
						printable.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%d jobs\n", w.ID, w.Host, w.PID, w.Why,
							clock(w.At)[:19], len(w.Ran))
					}
				})
			}
			list, err := c.WorkerDetails(ctx, bad)
			if err != nil {
				return err
			}
			return p.Show(list, func(t *tabwriter.Writer) {
				fmt.Fprintln(t, "WORKER\tHOST\tPID\tSTATE\tRUNS\tSLOTS\tMEMORY\tPROBLEMS")
				for _, w := range list {
					printable.Fprintf(t, "%s\t%s\t%d\t%s\t%d\tio %d, cpu %d\t%d MiB\t%s\n", w.ID, w.Host,
						w.PID, w.State, w.Busy, w.Slots[job.LaneIO], w.Slots[job.LaneCPU], w.RSS>>20,
						strings.Join(w.Bad, "; "))
				}
			})
		}),
	}
	cmd.Flags().BoolVar(&bad, "bad", false, "only those of which something is wrong")
	cmd.Flags().BoolVar(&gone, "gone", false, "those that ended")
	cmd.Flags().StringVar(&since, "since", "", "with --gone: since a time, or a duration ago, as 15m")
	return cmd
}

func (p *CLI) opsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ops [ID]", Short: "Show operations on many jobs and workers",
		Long:    "Show the newest operations, or one of them, as it goes on.",
		Example: "  enqueue ops\n  enqueue ops cancel 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:    cobra.MaximumNArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 0 {
				list, err := c.Operations(ctx)
				if err != nil {
					return err
				}
				return p.printOperations(list)
			}
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			o, err := c.Operation(ctx, id, 0, 0)
			if err == nil {
				o, err = p.toEnd(ctx, c, o)
			}
			if err != nil {
				return err
			}
			return p.printOperations([]client.Operation{o})
		}),
	}
	cmd.AddCommand(&cobra.Command{
		Use: "cancel ID", Short: "End an operation; what it has done stays",
		Long:    "End an operation within a second. What it has done stays done.",
		Example: "  enqueue ops cancel 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:    cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			o, err := c.CancelOperation(ctx, id)
			if err != nil {
				return err
			}
			return p.printOperations([]client.Operation{o})
		}),
	})
	return cmd
}

func (p *CLI) printOperations(list []client.Operation) error {
	return p.Show(list, func(t *tabwriter.Writer) {
		for _, o := range list {
			var skipped []string
			for code, n := range o.Skipped {
				skipped = append(skipped, fmt.Sprintf("%d %s", n, code))
			}
			slices.Sort(skipped)
			printable.Fprintf(t, "%s\t%s\t%s\t%d of %d\t%s\tby %s\t%s\n", o.ID, o.Action, o.State, o.Moved, o.N,
				strings.Join(skipped, ", "), o.By, o.Why)
		}
	})
}
