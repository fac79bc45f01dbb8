package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) schedulesCommand() *cobra.Command {
	source := ""
	cmd := &cobra.Command{
		Use: "schedules", Short: "Show and steer what makes jobs by the clock",
		Long: "Show and steer what makes jobs by the clock. Without a command, list the schedules, with their next\n" +
			"ticks and what is wrong with them.",
		Example: "  enqueue schedules\n" +
			"  enqueue schedules apply schedules.json --prune\n" +
			"  enqueue schedules set nightly log.report --cron '0 3 * * *' --timezone Europe/Berlin\n" +
			"  enqueue schedules run nightly",
		Args: cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Schedules(ctx, source)
			if err != nil {
				return err
			}
			return showList(p, list, func(t *tabwriter.Writer) {
				fmt.Fprintln(t, "NAME\tWHEN\tTYPE\tNEXT\tLAST TICK\tMADE\t")
				for i := range list {
					printSchedule(t, &list[i])
				}
			})
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "only those that came with this source")
	cmd.AddCommand(p.applySchedulesCommand(), p.setScheduleCommand(), p.oneScheduleCommand("get NAME",
		"Show one schedule, with its next ticks and its newest jobs", func(ctx context.Context,
			c *client.Client,
			name string) error {
			s, err := c.Schedule(ctx, name)
			if err != nil {
				return err
			}
			return p.showSchedule(&s)
		}), p.pauseScheduleCommand(), p.oneScheduleCommand("resume NAME",
		"Make ticks again; those that passed meanwhile are not made up for", func(ctx context.Context,
			c *client.Client, name string) error {
			_, err := c.ResumeSchedule(ctx, name)
			return err
		}), p.oneScheduleCommand("run NAME", "Make a job of a schedule now, beside its ticks; prints its id",
		func(ctx context.Context, c *client.Client, name string) error {
			snap, err := c.TriggerSchedule(ctx, name)
			if err != nil {
				return err
			}
			return p.printID(snap)
		}), p.oneScheduleCommand("rm NAME", "Remove a schedule; its jobs stay", func(ctx context.Context,
		c *client.Client, name string) error {
		return c.DeleteSchedule(ctx, name)
	}))
	return cmd
}

// oneScheduleCommand is a command that needs nothing but a schedule's name.
func (p *CLI) oneScheduleCommand(use, short string,
	do func(ctx context.Context, c *client.Client, name string) error) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return &cobra.Command{Use: use, Short: short, Long: short + ".", Args: cobra.ExactArgs(1),
		Example: "  enqueue schedules " + verb + " nightly",
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			return do(ctx, c, args[0])
		})}
}

func (p *CLI) pauseScheduleCommand() *cobra.Command {
	why := ""
	cmd := p.oneScheduleCommand("pause NAME", "Make no ticks of a schedule until resume",
		func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.PauseSchedule(ctx, name, why)
			return err
		})
	cmd.Flags().StringVar(&why, "why", "", "for others to read")
	return cmd
}

// printSchedule prints one as a row.
func printSchedule(t io.Writer, s *client.Schedule) {
	next, last := "", ""
	if len(s.Next) > 0 {
		next = clock(s.Next[0])[:19]
	}
	if s.LastTick != nil {
		last = clock(*s.LastTick)[:19]
	}
	printable.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.Name, when(s), s.Type, next, last, s.Made,
		noteOf(s))
}

func when(s *client.Schedule) string {
	if s.Every != "" {
		return "every " + s.Every
	}
	return s.Cron + " " + s.Timezone
}

// noteOf is what is worth knowing of a schedule beside its times.
func noteOf(s *client.Schedule) string {
	var notes []string
	if s.Paused != nil {
		notes = append(notes, strings.TrimSpace("paused by "+s.Paused.By+" "+s.Paused.Why))
	}
	if s.Problem != nil {
		notes = append(notes, "NOT MADE: "+s.Problem.Detail)
	}
	if s.NotInSource {
		notes = append(notes, "not in "+s.Source+" any more")
	}
	for _, one := range []struct {
		n    int64
		what string
	}{{s.Missed, "missed"}, {s.Overlapped, "overlapped"}, {s.Refused, "refused"}} {
		if one.n > 0 {
			notes = append(notes, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	return strings.Join(notes, "; ")
}

func (p *CLI) showSchedule(s *client.Schedule) error {
	return p.Show(s, func(t *tabwriter.Writer) {
		row := func(name, format string, args ...any) { printable.Fprintf(t, name+"\t"+format+"\n", args...) }
		row("schedule", "%s", s.Name)
		row("when", "%s", when(s))
		row("type", "%s", s.Type)
		if len(s.Payload) > 0 {
			row("payload", "%s", s.Payload)
		}
		row("overlap", "%s", s.Overlap)
		row("catch up", "%s", s.CatchUp)
		row("made", "%d, and %d by hand", s.Made, s.ByHand)
		if note := noteOf(s); note != "" {
			row("note", "%s", note)
		}
		row("changed", "%s by %s", clock(s.ChangedAt), s.ChangedBy)
		for _, next := range s.Next {
			row("next", "%s", clock(next))
		}
		for _, run := range s.Runs {
			row("job", "%s for %s", run.Job, clock(run.At))
		}
	})
}

func (p *CLI) applySchedulesCommand() *cobra.Command {
	source, prune := "", false
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Make schedules what a file says",
		Long: "Make schedules what a file says: {\"schedules\": [{\"name\": …, \"cron\": …, \"type\": …}, …]}. What is so\n" +
			"already stays as it is; a file that is wrong anywhere changes nothing. What came with this file\n" +
			"before and isn't in it any more is marked, or with --prune removed. Others are not touched.",
		Example: "  enqueue schedules apply schedules.json --prune",
		Args:    cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			list, err := p.readSchedules(args[0], source)
			if err != nil {
				return err
			}
			list.Prune = list.Prune || prune
			done, err := c.ApplySchedules(ctx, list)
			if err != nil {
				return err
			}
			return p.Show(done, func(t *tabwriter.Writer) {
				for _, one := range []struct {
					what  string
					names []string
				}{{"created", done.Created}, {"changed", done.Changed}, {"unchanged", done.Unchanged},
					{"removed", done.Removed}, {"left, not in the file", done.Left}} {
					for _, name := range one.names {
						printable.Fprintf(t, "%s\t%s\n", name, one.what)
					}
				}
			})
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "what the list is called; the file's name by default")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove what came with it before and isn't in it any more")
	return cmd
}

// readSchedules reads a file of schedules; - is stdin. source is what it is called; "" = what it says, or
// as the file.
func (p *CLI) readSchedules(name, source string) (list client.ScheduleSource, err error) {
	var text []byte
	if name == "-" {
		text, err = io.ReadAll(p.in)
	} else {
		text, err = os.ReadFile(name)
		list.Source = filepath.Base(name)
	}
	if err != nil {
		return list, err
	}
	dec := json.NewDecoder(bytes.NewReader(unmarked(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return list, Usage("%s: %w", name, err)
	}
	if dec.More() {
		return list, Usage("%s: there is something behind the object", name)
	}
	if list.Source = cmp.Or(source, list.Source); list.Source == "" {
		return list, Usage("say by --source what the list is called")
	}
	return list, nil
}

func (p *CLI) setScheduleCommand() *cobra.Command {
	var s client.ScheduleSpec
	var priority, payload, startsAt, endsAt string
	var pairs []string
	cmd := &cobra.Command{
		Use: "set NAME TYPE", Short: "Make or change a schedule",
		Long: "Make or change a schedule, whose jobs are of a type. One that says the same stays as it is.",
		Example: "  enqueue schedules set nightly log.report --cron '0 3 * * *' --timezone Europe/Berlin\n" +
			"  enqueue schedules set poll own.poll --every 30s --overlap skip --set depth=2",
		Args: cobra.ExactArgs(2),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) (err error) {
			s.Type, s.Priority = args[1], job.Priority(priority)
			if s.Payload, err = payloadOf(payload, pairs); err != nil {
				return err
			}
			for _, one := range []struct {
				flag, text string
				to         **time.Time
			}{{"starts-at", startsAt, &s.StartsAt}, {"ends-at", endsAt, &s.EndsAt}} {
				if one.text == "" {
					continue
				}
				at, err := time.Parse(time.RFC3339, one.text)
				if err != nil {
					return Usage("--%s: expected a time as 2006-01-02T15:04:05Z", one.flag)
				}
				*one.to = &at
			}
			made, err := c.PutSchedule(ctx, args[0], s)
			if err != nil {
				return err
			}
			return p.showSchedule(&made)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&s.Cron, "cron", "",
		"when: minute, hour, day, month, weekday; or @hourly, @daily, @weekly, @monthly")
	f.StringVar(&s.Every, "every", "", "when: each time that so much real time has passed, 1s at least")
	f.StringVar(&s.Timezone, "timezone", "", "by whose clocks cron counts, as Europe/Berlin; UTC by default")
	f.StringVar(&s.Overlap, "overlap", "",
		"allow, skip or cancel_running: where the job before has not ended")
	f.StringVar(&s.CatchUp, "catch-up", "", "last, none or all: of ticks that passed while nobody was there")
	f.StringVar(&s.Jitter, "jitter", "", "make each tick up to this much later")
	f.StringVar(&startsAt, "starts-at", "", "no tick before this time")
	f.StringVar(&endsAt, "ends-at", "", "no tick after this time")
	f.StringVar(&payload, "payload", "", "of the jobs, as JSON")
	f.StringArrayVar(&pairs, "set", nil, "NAME=VALUE: a field of the payload")
	f.StringVar(&priority, "priority", "", "high, default or low")
	f.StringVar(&s.Queue, "queue", "", "that the jobs wait in")
	f.StringVar(&s.Timeout, "timeout", "", "time limit of one attempt")
	f.StringVar(&s.ExpiresIn, "expires-in", "", "give up a job unless started within this time")
	f.StringVar(&s.Retention, "retention", "", "how long to keep a job after its end")
	f.IntVar(&s.MaxAttempts, "max-attempts", 0, "how often to try")
	f.StringVar(&s.CallbackURL, "callback-url", "",
		"post each job, signed, to this address when it has ended")
	return cmd
}

// payloadOf is a payload from --payload or --set.
func payloadOf(text string, pairs []string) (json.RawMessage, error) {
	set, err := setOf(pairs)
	switch {
	case err != nil:
		return nil, err
	case text != "" && set != nil:
		return nil, Usage("--payload and --set don't go together")
	case text != "" && !json.Valid([]byte(text)):
		return nil, Usage("--payload: expected JSON")
	case text != "":
		return json.RawMessage(text), nil
	case set == nil:
		return nil, nil
	}
	return json.Marshal(set)
}
