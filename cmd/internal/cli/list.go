package cli

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
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) listCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List jobs, newest first",
		Long: "List jobs, newest first. It goes on until it has found --limit jobs or has looked at all;\n" +
			"with --limit 0 all that match are listed, as they are found. Where there may be more the\n" +
			"cursor to go on from is said on stderr, or stands in the field next of --format json,\n" +
			"beside complete and the number of jobs that were looked at, scanned.",
		Example: "  enqueue ls --state failed\n" +
			"  enqueue ls --type log.analyze --limit 0 --format jsonl | jq -r .id",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if s := l.filter.State; s != "" && !slices.Contains(job.States, s) {
				return Usage("--state must be one of %v", job.States)
			}
			if l.limit < 0 || l.limit > maxPage {
				return Usage("--limit must be 0 (all) to %d", maxPage)
			}
			return p.with(cmd.Context(), func(at Installation) error { return p.list(cmd.Context(), at, l) })
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&l.filter.State), "state", "", "only jobs in this state")
	f.StringVar(&l.filter.Type, "type", "", "only jobs of this type")
	f.IntVar(&l.limit, "limit", 20, "how many; 0 = all")
	f.StringVar(&l.cursor, "cursor", "", "begin where an earlier list ended")
	filterFlags(cmd, &l.filter.Narrow)
	p.completeState(cmd, "state")
	p.completeType(cmd, "type")
	return cmd
}

// A listing is what ls is asked for.
type listing struct {
	filter client.Filter
	limit  int // 0 = all
	cursor string
}

// list prints page after page: the server looks at a bounded number of jobs for one,
// so a page may be empty although there are jobs to come.
func (p *CLI) list(ctx context.Context, at Installation, l listing) error {
	all := client.Page{Jobs: []job.Snapshot{}, Next: l.cursor}
	found, printed := 0, time.Now()
	for {
		size := maxPage
		if l.limit > 0 {
			size = l.limit - found
		}
		page, err := at.ListPage(ctx, l.filter, size, all.Next)
		if err != nil {
			if ctx.Err() != nil {
				p.incomplete(all)
			}
			return err
		}
		found += len(page.Jobs)
		all.Next, all.Scanned, all.Complete = page.Next, all.Scanned+page.Scanned, page.Next == ""
		if p.format == "json" {
			all.Jobs = append(all.Jobs, page.Jobs...)
		} else if err := p.printJobs(page.Jobs); err != nil {
			return err
		}
		if all.Complete || l.limit > 0 && found >= l.limit {
			break
		}
		if now := time.Now(); now.Sub(printed) >= linesEvery && len(page.Jobs) == 0 {
			printed = now
			p.Say("looked at %d jobs, %d match", all.Scanned, found)
		}
	}
	if p.format == "json" {
		return p.PrintJSON(all)
	}
	if !all.Complete {
		p.Say("there are more: --cursor %s", all.Next)
	}
	return nil
}

// incomplete tells of a list that was broken off.
func (p *CLI) incomplete(all client.Page) {
	text := fmt.Sprintf("not complete: looked at %d jobs", all.Scanned)
	if all.Next != "" {
		text += "; to go on: --cursor " + all.Next
	}
	p.Say("%s", text)
}

// maxPage is the largest page that the server gives.
const maxPage = 1000

// printJobs prints a row or a line for each job.
func (p *CLI) printJobs(jobs []job.Snapshot) error {
	if p.format != "text" {
		return printLines(p, jobs)
	}
	var b bytes.Buffer
	table(&b, jobs)
	return p.write(b.Bytes())
}

// printLines prints each value as a line of JSON.
func printLines[T any](p *CLI, values []T) error {
	for _, v := range values {
		if err := p.PrintJSON(v); err != nil {
			return err
		}
	}
	return nil
}

// table writes jobs as rows that keep their columns from page to page.
func table(w io.Writer, jobs []job.Snapshot) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, snap := range jobs {
		printable.Fprintf(t, "%s\t%s\t%-9s\t%s\t%s\n", snap.ID, clock(snap.CreatedAt)[:19], snap.State,
			snap.Type, remark(snap))
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

func (p *CLI) queuesCommand() *cobra.Command {
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

func (p *CLI) printQueues(queues []client.QueueInfo) error {
	return showList(p, queues, func(t *tabwriter.Writer) {
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
			printable.Fprintf(t, "%s\t%d\t%d\t%v\t%s\n", q.Queue, q.Pending, q.Active,
				time.Duration(q.LatencyMS)*time.Millisecond, strings.Join(notes, "; "))
		}
	})
}
