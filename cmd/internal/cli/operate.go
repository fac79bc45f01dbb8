package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

// askServer is the body of a command that only a server can answer.
func (p *CLI) askServer(do func(ctx context.Context, c *client.Client,
	args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		return errors.Join(do(cmd.Context(), c, args), overHTTP{c}.Close())
	}
}

// filterFlags are what selects jobs.
func filterFlags(cmd *cobra.Command, f *client.JobFilter) {
	flags := cmd.Flags()
	flags.StringVar(&f.Code, "code", "", "only failed jobs with this code")
	flags.StringVar(&f.Group, "group", "", "only failed jobs of this group, as failures prints it")
	flags.StringVar(&f.Worker, "worker", "", "only jobs that this worker runs, or ran last")
	flags.StringVar(&f.Retried, "retried", "",
		"any: with failed jobs that were retried since; only: no others")
	flags.StringVar(&f.Since, "since", "", "only jobs since: a time, or a duration ago, as 15m")
	flags.StringVar(&f.Until, "until", "", "only jobs until then")
	flags.StringVar(&f.CreatedSince, "created-since", "", "only jobs that were created since")
	flags.StringVar(&f.IDPrefix, "id-prefix", "", "only jobs whose id begins so")
	flags.StringVar(&f.Label, "label", "", "only jobs with this label, as user=7")
	flags.StringVar(&f.Queue, "queue", "", "only jobs of this queue; default is one")
}

func (p *CLI) statsCommand() *cobra.Command {
	kind, window := "", ""
	cmd := &cobra.Command{
		Use: "stats", Short: "Tell how many jobs came, ended and waited in the last hour or day",
		Long: "Tell how many jobs came, ended and waited in the last hour, minute by minute, or in the last day, " +
			"in steps of 5 minutes.",
		Example: "  enqueue stats\n" +
			"  enqueue stats --window 24h --type log.analyze --format json | jq .points[-1]",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			stats, err := c.Stats(ctx, window, kind)
			if err != nil {
				return err
			}
			return p.Show(stats, func(t *tabwriter.Writer) {
				printable.Fprintf(t, "AT\tCREATED\tSUCCEEDED\tFAILED\tCANCELED\tEXPIRED\tWAITING\tRUNNING\n")
				for _, at := range stats.Points {
					printable.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", at.At.Local().Format("15:04"),
						at.Created, at.Ended[job.Succeeded], at.Ended[job.Failed], at.Ended[job.Canceled],
						at.Ended[job.Expired], at.Waiting, at.Running)
				}
				if took := stats.RunMS; took != nil {
					ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
					printable.Fprintf(t, "%d runs: half took up to %s, 95 %% up to %s\n", took.N, ms(took.P50),
						ms(took.P95))
				}
			})
		}),
	}
	cmd.Flags().StringVar(&kind, "type", "", "only jobs of this type")
	cmd.Flags().StringVar(&window, "window", "1h", "1h or 24h")
	p.completeType(cmd, "type")
	return cmd
}

func (p *CLI) countCommand() *cobra.Command {
	kind := ""
	cmd := &cobra.Command{
		Use: "count", Aliases: []string{"counts"}, Short: "Count jobs by state and type",
		Long: "Count jobs by state and type. Failed jobs that were retried since are counted apart.",
		Example: "  enqueue count\n" +
			"  enqueue count --type log.analyze --format json | jq .counts.failed",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			counts, err := c.Count(ctx, kind)
			if err != nil {
				return err
			}
			return p.Show(counts, func(t *tabwriter.Writer) {
				for _, s := range job.States {
					printable.Fprintf(t, "%s\t%d\n", s, counts.Counts[s])
				}
				printable.Fprintf(t, "retried\t%d\ntotal\t%d\n", counts.Retried, counts.Total)
				for _, of := range counts.Types {
					var texts []string
					for _, s := range job.States {
						if n := of.Counts[s]; n > 0 {
							texts = append(texts, fmt.Sprintf("%d %s", n, s))
						}
					}
					printable.Fprintf(t, "%s\t%s\n", of.Type, strings.Join(texts, ", "))
				}
			})
		}),
	}
	cmd.Flags().StringVar(&kind, "type", "", "only jobs of this type")
	p.completeType(cmd, "type")
	return cmd
}

func (p *CLI) failuresCommand() *cobra.Command {
	var f client.JobFilter
	cmd := &cobra.Command{
		Use: "failures", Short: "Show what fails, in groups that fail alike",
		Long: "Show what fails: the newest 20,000 failed jobs in groups of one type, one code, and messages that\n" +
			"differ in numbers and quoted texts only. retry --group, cancel and ls take a group.",
		Example: "  enqueue failures --since 1h\n" +
			"  enqueue failures --format json | jq -r '.groups[0].group'",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Failures(ctx, f)
			if err != nil {
				return err
			}
			return p.Show(list, func(t *tabwriter.Writer) {
				fmt.Fprintln(t, "GROUP\tJOBS\tLAST\tTYPE\tCODE\tMESSAGE\tFOR EXAMPLE")
				for _, g := range list.Groups {
					printable.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", g.Group, g.N, clock(g.Last)[:19],
						g.Type, g.Code, g.Message, g.Samples[0])
				}
			})
		}),
	}
	cmd.Flags().StringVar(&f.Type, "type", "", "only jobs of this type")
	cmd.Flags().StringVar(&f.Code, "code", "", "only jobs with this code")
	cmd.Flags().StringVar(&f.Since, "since", "",
		"only those that failed since: a time, or a duration ago, as 15m")
	cmd.Flags().StringVar(&f.Worker, "worker", "", "only those that this worker ran")
	p.completeType(cmd, "type")
	return cmd
}

func (p *CLI) timelineCommand() *cobra.Command {
	return &cobra.Command{
		Use: "timeline ID", Short: "Show what happened to a job",
		Long: "Show what happened to a job, oldest first: attempts, lost workers, who canceled or retried it, its\n" +
			"callback.",
		Example: "  enqueue timeline 01a20967-50f3-73e0-89b5-4af387a3557a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeID,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			story, err := c.Timeline(ctx, id)
			if err != nil {
				return err
			}
			return p.Show(story, func(t *tabwriter.Writer) {
				for _, e := range story.Entries {
					var about []string
					for name, value := range map[string]string{"attempt": number(e.Attempt),
						"worker": e.Worker, "by": e.By, "state": string(e.State), "code": e.Code,
						"job": string(e.Other), "version": number(int(e.Version))} {
						if value != "" {
							about = append(about, name+" "+value)
						}
					}
					slices.Sort(about)
					printable.Fprintf(t, "%s\t%s\t%s\t%s\n", clock(e.At), e.What, strings.Join(about, ", "),
						e.Message)
				}
				if w := story.Waiting; w != nil {
					printable.Fprintf(t, "now\twaits for %s\t%s\n", w.For, whyWaiting(w))
				}
			})
		}),
	}
}

// whyWaiting says it in a line.
func whyWaiting(w *client.Waiting) string {
	switch {
	case w.Pause != nil:
		said := cmp.Or(w.Pause.Type, w.Pause.Queue) + " is paused by " + cmp.Or(w.Pause.By, "nobody that is known")
		if w.Pause.Why != "" {
			said += ": " + w.Pause.Why
		}
		if w.Until != nil {
			said += ", until " + clock(*w.Until)
		}
		return said
	case w.For == job.WaitingRelease:
		return w.Why
	case w.For == job.WaitingJobs, w.For == job.WaitingLimit:
		said := make([]string, len(w.Holders))
		for i, id := range w.Holders {
			said[i] = string(id)
		}
		if w.For == job.WaitingJobs {
			return "after " + strings.Join(said, ", ")
		}
		return fmt.Sprintf("%s: %d wait for it; it is held by %s", w.Limit, w.Line,
			cmp.Or(strings.Join(said, ", "), "none"))
	case w.Until != nil:
		return "until " + clock(*w.Until)
	case w.Workers == 0:
		return "no living worker takes its type from its lane"
	}
	return fmt.Sprintf("%d jobs are in its queue, for %d slots of %d workers", w.Queued, w.Slots, w.Workers)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func (p *CLI) logsCommand() *cobra.Command {
	follow, after := false, int64(0)
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Print the log of a job",
		Long:    "Print what a job's attempts have logged. Lines beyond what is kept are counted as dropped.",
		Example: "  enqueue logs 01a20967-50f3-73e0-89b5-4af387a3557a --follow",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeID,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			for l, err := range c.Logs(ctx, id, after, follow) {
				if err == nil {
					err = p.printLog(l)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until the job has ended")
	cmd.Flags().Int64Var(&after, "after", 0, "only lines behind the one with this number")
	return cmd
}

func (p *CLI) printLog(l client.LogLine) error {
	if p.format != "text" {
		return p.PrintJSON(l)
	}
	switch {
	case l.End && l.Incomplete:
		p.Say("some lines of the log are gone")
	case l.End:
	case l.Dropped > 0:
		p.Say("%d lines were dropped", l.Dropped)
	default:
		return p.write([]byte(printable.Line(fmt.Sprintf("%s %d %-5s %s", clock(l.At), l.Attempt, l.Level,
			l.Msg)) + "\n"))
	}
	return nil
}

func (p *CLI) pauseCommand() *cobra.Command {
	var r client.PauseRequest
	cmd := &cobra.Command{
		Use:   "pause [QUEUE|TYPE]",
		Short: "Start no more jobs of a queue or a type; without one: what is paused",
		Long: "Start no more jobs of a queue, whole as queue:mailers, or of the default one's lane and priority, as\n" +
			"io-default, or of a type, until resume, or for a while. What runs goes on. No restart and no\n" +
			"deploy ends a pause. Without a name, print what is paused.",
		Example: "  enqueue pause io-default --why 'the disk is full'\n" +
			"  enqueue pause queue:mailers\n" +
			"  enqueue pause log.analyze --for 30m\n" +
			"  enqueue pause",
		Args: cobra.MaximumNArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 0 {
				pauses, err := c.Pauses(ctx)
				if err != nil {
					return err
				}
				return p.printPauses(pauses)
			}
			made, err := c.Pause(ctx, args[0], r)
			if err != nil {
				return err
			}
			return p.printPauses([]client.Pause{made})
		}),
	}
	cmd.Flags().StringVar(&r.Why, "why", "", "for others to read")
	cmd.Flags().StringVar(&r.For, "for", "", "ends by itself after this; none = when somebody resumes")
	return cmd
}

func (p *CLI) printPauses(pauses []client.Pause) error {
	return p.Show(pauses, func(t *tabwriter.Writer) {
		for _, one := range pauses {
			since, until := "", ""
			if one.At != nil {
				since = clock(*one.At)[:19]
			}
			if one.Until != nil {
				until = "until " + clock(*one.Until)[:19]
			}
			printable.Fprintf(t, "%s%s\t%s\tby %s\t%s\t%s\t%s\n", one.Queue, one.Type, one.State, one.By,
				since, until, one.Why)
		}
	})
}

func (p *CLI) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resume QUEUE|TYPE|WORKER", Short: "End a pause, or have a drained worker take jobs again",
		Long: "End the pause of a queue, as io-default or queue:mailers, or of a type; or have a worker that was\n" +
			"drained take jobs again, or with --all each.",
		Example: "  enqueue resume io-default",
		Args:    cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			if isWorker(args[0]) {
				return p.tell(ctx, c, args[0], "resume", client.WorkerMessage{})
			}
			return c.Resume(ctx, args[0])
		}),
	}
}

// isWorker tells a worker's id, or all, from a queue and from a type, which has a dot or no capital letter.
func isWorker(name string) bool {
	return name == "all" || len(name) == 6 && !strings.ContainsAny(name, ".-_")
}

// A bulkWish is what retry, cancel, delete and change of many are asked for.
type bulkWish struct {
	filter client.JobFilter
	max    int64
	yes    bool
	dry    bool
	why    string
	change *client.BulkChange // of change
}

// bulkFlags give a command that is for one job flags that select many.
func (p *CLI) bulkFlags(cmd *cobra.Command, b *bulkWish) {
	cmd.Flags().StringVar(&b.filter.State, "state", "", "all jobs in this state")
	cmd.Flags().StringVar(&b.filter.Type, "type", "", "only jobs of this type")
	filterFlags(cmd, &b.filter)
	cmd.Flags().Int64Var(&b.max, "max", 0, "at most so many, the oldest; 0 = all")
	cmd.Flags().BoolVar(&b.yes, "yes", false, "don't ask")
	cmd.Flags().BoolVar(&b.dry, "dry-run", false, "tell how many these are, of which types, and some of them")
	cmd.Flags().StringVar(&b.why, "why", "", "for others to read")
	p.completeState(cmd, "state")
	p.completeType(cmd, "type")
}

// one tells whether a command is for the job that it names, or for those that its flags select.
func (b *bulkWish) one(args []string) (bool, error) {
	switch many := b.filter != (client.JobFilter{}); {
	case len(args) == 1 && many:
		return false, Usage("an ID and flags that select jobs don't go together")
	case len(args) == 0 && !many:
		return false, Usage("which jobs? name one, or select some, as by --state failed")
	}
	return len(args) == 1, nil
}

// bulk does the same to many jobs: it tells how many that are, asks, and follows it.
func (p *CLI) bulk(ctx context.Context, c *client.Client, action string, b *bulkWish) error {
	ask := client.BulkRequest{Action: action, Filter: b.filter, Max: b.max, Why: b.why, Change: b.change}
	found, err := c.DryRun(ctx, ask)
	if err != nil {
		return err
	}
	if b.dry {
		return p.showDryRun(found, action)
	}
	number := fmt.Sprint(found.N)
	if !found.Exact {
		number = "at least " + number
	}
	p.Say("%s jobs to %s", number, action)
	if found.N == 0 && found.Exact {
		return nil
	}
	if !b.yes {
		if !p.asksTerminal() {
			return Usage("nobody is there to be asked: say --yes")
		}
		if !p.confirmed(ctx, action) {
			return errors.New("nothing was done")
		}
	}
	ask.Before = found.Before.Format(time.RFC3339Nano)
	if found.Exact && (ask.Max == 0 || found.N < ask.Max) {
		ask.Max = found.N
	}
	o, err := c.Bulk(ctx, ask)
	if err == nil {
		o, err = p.toEnd(ctx, c, o)
	}
	if err != nil {
		return err
	}
	if err := p.printOperations([]client.Operation{o}); err != nil {
		return err
	}
	if o.State != "succeeded" {
		return fmt.Errorf("the operation ended %s", o.State)
	}
	return nil
}

// showDryRun tells what an operation would do.
func (p *CLI) showDryRun(found client.DryRun, action string) error {
	return p.Show(found, func(t *tabwriter.Writer) {
		more := ""
		if !found.Exact {
			more = ", at least"
		}
		printable.Fprintf(t, "jobs to %s\t%d%s\n", action, found.N, more)
		for _, kind := range slices.Sorted(maps.Keys(found.ByType)) {
			printable.Fprintf(t, "%s\t%d\n", kind, found.ByType[kind])
		}
		for _, id := range found.Samples {
			printable.Fprintf(t, "for example\t%s\n", id)
		}
	})
}

// setOf reads NAME=VALUE as fields of a payload: JSON, or else a text.
func setOf(pairs []string) (map[string]json.RawMessage, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	set := map[string]json.RawMessage{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, Usage("--set %s: expected name=value", pair)
		}
		if !json.Valid([]byte(value)) {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			value = string(text)
		}
		set[name] = json.RawMessage(value)
	}
	return set, nil
}
