package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
)

func (p *CLI) limitsCommand() *cobra.Command {
	list := p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
		all, err := c.Limits(ctx)
		if err != nil {
			return err
		}
		return p.showLimits(all)
	})
	cmd := &cobra.Command{
		Use: "limits", Short: "Show and set how many jobs may wait, run at once, and start in a time",
		Long: "Show and set how many jobs may wait, and for how long, before new ones are refused; how many may\n" +
			"run at once, and how often they may start. Without a command, list the limits and how much waits\n" +
			"of what they are for.",
		Example: "  enqueue limits\n" +
			"  enqueue limits put images --type 'image.*' --depth 10000\n" +
			"  enqueue limits put slow --queue 'cpu-*' --age 15m\n" +
			"  enqueue limits rm slow",
		Args: cobra.NoArgs, RunE: list,
	}
	cmd.AddCommand(&cobra.Command{Use: "ls", Short: "List the limits",
		Long: "List the limits, and how much waits of what they are for.", Example: "  enqueue limits ls",
		Args: cobra.NoArgs, RunE: list}, p.putLimitCommand(), &cobra.Command{Use: "rm NAME",
		Short: "Remove a limit", Long: "Remove a limit.", Example: "  enqueue limits rm images",
		Args: cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			return c.DeleteLimit(ctx, args[0])
		})})
	return cmd
}

func (p *CLI) putLimitCommand() *cobra.Command {
	var s client.LimitSpec
	var rate string
	var burst int64
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Make or change a limit, which holds at once",
		Long: "Make or change a limit, which holds at once. What isn't said isn't bounded; a limit that says\n" +
			"the same stays as it is. Patterns are names, or some with *.",
		Example: "  enqueue limits put images --type 'image.*' --depth 10000\n" +
			"  enqueue limits put tenants --per tenant --depth 1000\n" +
			"  enqueue limits put slow --queue 'cpu-*' --age 15m\n" +
			"  enqueue limits put customers --per key --concurrency 3\n" +
			"  enqueue limits put mails --type 'mail.*' --rate 100/1m --burst 10",
		Args: cobra.ExactArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			var err error
			if s.Rate, err = startRate(rate, burst); err != nil {
				return err
			}
			l, err := c.PutLimit(ctx, args[0], s)
			if err != nil {
				return err
			}
			return p.showLimits([]client.Limit{l})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&s.Match.Type, "type", "", "for jobs of this type, as image.*")
	f.StringVar(&s.Match.Queue, "queue", "", "for jobs of this queue, lane and priority, as io-default or cpu-*")
	f.StringVar(&s.Match.Tenant, "tenant", "", "for jobs of this tenant")
	f.StringVar(&s.Match.Key, "key", "", "for jobs of this limit_key; with --concurrency or --rate")
	f.StringSliceVar(&s.Per, "per", nil, "type, tenant, key, or several: each has the limit for itself")
	f.Int64Var(&s.Concurrency, "concurrency", 0, "run at most as many at once, and keep the others waiting")
	f.StringVar(&s.Keep, "keep", "", "with --concurrency: count a job while it runs (run) or until its end (end)")
	f.StringVar(&rate, "rate", "", "start at most so many in a time, as 100/1m, and keep the others waiting")
	f.Int64Var(&burst, "burst", 0, "with --rate: start as many at once after a while without any (1 by default)")
	f.Int64Var(&s.Depth, "depth", 0, "refuse new jobs while as many wait")
	f.StringVar(&s.Age, "age", "", "refuse new jobs while one of the queue has waited longer")
	return cmd
}

// startRate reads a rate of starts, as N/TIME.
func startRate(text string, burst int64) (*client.LimitRate, error) {
	if text == "" {
		if burst != 0 {
			return nil, Usage("--burst: is for --rate")
		}
		return nil, nil
	}
	n, per, _ := strings.Cut(text, "/")
	count, err := httpapi.ParseCount(n)
	if err != nil || per == "" {
		return nil, Usage("--rate: expected as 100/1m")
	}
	return &client.LimitRate{N: int64(count), Per: per, Burst: burst}, nil
}

func (p *CLI) showLimits(list []client.Limit) error {
	return showList(p, list, func(t *tabwriter.Writer) {
		fmt.Fprintln(t, "NAME\tFOR\tPER\tDEPTH\tWAITING\tAGE\tOLDEST\tAT ONCE\tRATE\t")
		for i := range list {
			printLimit(t, &list[i])
		}
	})
}

func printLimit(t io.Writer, l *client.Limit) {
	var of []string
	for _, one := range []struct{ what, pattern string }{{"type", l.Match.Type}, {"queue", l.Match.Queue},
		{"tenant", l.Match.Tenant}, {"key", l.Match.Key}} {
		if one.pattern != "" {
			of = append(of, one.what+" "+one.pattern)
		}
	}
	if l.Tenant != "" {
		of = append(of, "tenant "+l.Tenant)
	}
	depth, waiting, oldest, atOnce, rate := "", "", "", "", ""
	if r := l.Rate; r != nil {
		if rate = fmt.Sprintf("%d/%s", r.N, r.Per); r.Burst > 1 {
			rate += fmt.Sprintf(", %d at once", r.Burst)
		}
	}
	if l.Concurrency > 0 {
		if atOnce = fmt.Sprint(l.Concurrency); l.Keep == "end" {
			atOnce += ", to the end"
		}
	}
	if l.Depth > 0 {
		depth = fmt.Sprint(l.Depth)
	}
	if l.Waiting != nil {
		waiting = fmt.Sprint(*l.Waiting)
	}
	if l.OldestMS != nil {
		oldest = (time.Duration(*l.OldestMS) * time.Millisecond).Round(100 * time.Millisecond).String()
	}
	printable.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.Name, strings.Join(of, ", "),
		strings.Join(l.Per, ", "), depth, waiting, l.Age, oldest, atOnce, rate)
}
