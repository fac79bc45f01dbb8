package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/job"
)

func (p *cli) listCommand() *cobra.Command {
	var state, typ, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List jobs, newest first",
		Long: "List jobs, newest first. Where there are more than --limit, the cursor of the next page\n" +
			"goes to stderr, or stands in the field next of --format json. With --limit 0 all are\n" +
			"listed, page after page.",
		Example: "  enqueue ls --state failed\n" +
			"  enqueue ls --type log.analyze --limit 0 --format jsonl | jq -r .id",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(job.States, job.State(state)) {
				return usage("--state must be one of %v", job.States)
			}
			if limit < 0 || limit > maxPage {
				return usage("--limit must be 0 (all) to %d", maxPage)
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			filter := client.Filter{State: job.State(state), Type: typ}
			if limit > 0 {
				page, err := c.ListPage(cmd.Context(), filter, limit, cursor)
				if err != nil {
					return err
				}
				return p.printPage(page)
			}
			for page := (client.Page{Next: cursor}); ; {
				if page, err = c.ListPage(cmd.Context(), filter, maxPage, page.Next); err != nil {
					return err
				}
				last := page.Next == ""
				if err := p.printJobs(page.Jobs); err != nil || last {
					return err
				}
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&state, "state", "", "only jobs in this state")
	f.StringVar(&typ, "type", "", "only jobs of this type")
	f.IntVar(&limit, "limit", 20, "how many; 0 = all")
	f.StringVar(&cursor, "cursor", "", "begin where an earlier list ended")
	p.completeState(cmd, "state")
	p.completeType(cmd, "type")
	return cmd
}

// maxPage is the largest page that the server gives.
const maxPage = 1000

func (p *cli) printPage(page client.Page) error {
	if p.format == "json" {
		if page.Jobs == nil {
			page.Jobs = []job.Snapshot{}
		}
		return p.printJSON(page)
	}
	if err := p.printJobs(page.Jobs); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(p.err, "there are more: --cursor %s\n", page.Next)
	}
	return nil
}

// printJobs prints a row or a line for each job.
func (p *cli) printJobs(jobs []job.Snapshot) error {
	if p.format != "text" {
		return printLines(p, jobs)
	}
	var b bytes.Buffer
	table(&b, jobs)
	return p.write(b.Bytes())
}

// printLines prints each value as a line of JSON.
func printLines[T any](p *cli, values []T) error {
	for _, v := range values {
		if err := p.printJSON(v); err != nil {
			return err
		}
	}
	return nil
}

// table writes jobs as rows that keep their columns from page to page.
func table(w io.Writer, jobs []job.Snapshot) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, snap := range jobs {
		fmt.Fprintf(t, "%s\t%s\t%-9s\t%s\t%s\n", snap.ID, clock(snap.CreatedAt)[:19], snap.State, snap.Type, remark(snap))
	}
	_ = t.Flush() // w is a buffer
}

// remark is what is worth knowing of a job beside its state.
func remark(snap job.Snapshot) string {
	switch {
	case snap.Error != nil:
		return string(snap.Error.Code) + ": " + snap.Error.Message
	case snap.CancelRequested && !snap.Done:
		return "cancel requested"
	case snap.Progress != nil && !snap.Done:
		return progressText(snap.Progress)
	case snap.Usage != nil:
		return "took " + (time.Duration(snap.Usage.WallMS) * time.Millisecond).String()
	default:
		return ""
	}
}

func (p *cli) retryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID",
		Short: "Submit a new job that does what an ended one did",
		Long: "Submit a new job that does what an ended one did, with the same input, and print its id.\n" +
			"The old job stays as it ended.",
		Example:           "  enqueue ls --state failed --format jsonl | jq -r .id | xargs -n1 enqueue retry",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeID,
		RunE: p.onJob(func(ctx context.Context, c *client.Client, id job.ID) error {
			snap, err := c.Retry(ctx, id)
			if err != nil {
				return err
			}
			return p.printID(snap)
		}),
	}
}

func (p *cli) queuesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "queues",
		Short: "Show how long the queues are",
		Long: "Show how many jobs wait in each queue, how many a worker holds, and how long the oldest\n" +
			"has been waiting. Jobs that wait for their time or for a retry are in no queue.",
		Example: "  enqueue queues --format jsonl | jq 'select(.pending > 0)'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			queues, err := c.Queues(cmd.Context())
			if err != nil {
				return err
			}
			return p.printQueues(queues)
		},
	}
}

func (p *cli) printQueues(queues []client.QueueInfo) error {
	switch p.format {
	case "json":
		return p.printJSON(queues)
	case "jsonl":
		return printLines(p, queues)
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "QUEUE\tPENDING\tACTIVE\tOLDEST WAITS\t")
	for _, q := range queues {
		var notes []string
		if q.Paused {
			notes = append(notes, "paused")
		}
		for _, p := range q.Parked {
			who := "for a worker of their type"
			if !p.Served {
				who = "and NO WORKER takes them"
			}
			notes = append(notes, fmt.Sprintf("%d of %s wait %s", p.Pending, p.Type, who))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%v\t%s\n", q.Queue, q.Pending, q.Active, time.Duration(q.LatencyMS)*time.Millisecond, strings.Join(notes, "; "))
	}
	_ = t.Flush() // a Buffer takes everything
	return p.write(b.Bytes())
}
