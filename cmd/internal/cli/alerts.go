package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
)

func (p *CLI) alertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alerts", Short: "Show what is wrong, and who is told",
		Long: "Show what is wrong with an installation, what was, and how the receivers of ALERT_URLS are reached;\n" +
			"or send each of them a test.",
		Example: "  enqueue alerts ls\n  enqueue alerts test",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Usage("alerts: expected ls or test")
		},
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(&cobra.Command{
		Use: "ls", Short: "List what is wrong now, what was, and who is told",
		Long: "List what is wrong now, with what to do, the newest alerts that are over, and each receiver with its\n" +
			"last outcome. Of a receiver only the host is told: its URL may hold a secret.",
		Example: "  enqueue alerts ls\n  enqueue alerts ls --format json | jq '.firing[].alert'",
		Args:    cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Alerts(ctx)
			if err != nil {
				return err
			}
			return p.Show(list, func(t *tabwriter.Writer) { printAlerts(t, list) })
		}),
	}, &cobra.Command{
		Use: "test", Short: "Send a test to each receiver of alerts",
		Long: "Send a message to each receiver of ALERT_URLS, once, and tell within half a minute how that went. The\n" +
			"exit code is 1 unless all took it.",
		Example: "  enqueue alerts test",
		Args:    cobra.NoArgs,
		RunE: p.askServer(func(ctx context.Context, c *client.Client, _ []string) error {
			tested, err := c.TestAlerts(ctx)
			if err != nil {
				return err
			}
			if len(tested.Receivers) == 0 {
				return errors.New("nobody is told of alerts: ALERT_URLS is not set for web or worker (docs/operate.md)")
			}
			failed := 0
			err = p.Show(tested, func(t *tabwriter.Writer) {
				for _, r := range tested.Receivers {
					printable.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Kind, r.Host, r.Outcome, outcomeText(r.Status, r.Code))
				}
			})
			for _, r := range tested.Receivers {
				if r.Outcome != "delivered" {
					failed++
				}
			}
			if err == nil && failed > 0 {
				err = fmt.Errorf("%d of %d receivers did not take the test", failed, len(tested.Receivers))
			}
			return err
		}),
	})
	return cmd
}

func printAlerts(t *tabwriter.Writer, list client.AlertList) {
	if len(list.Firing) == 0 {
		fmt.Fprintf(t, "none is firing; %d receivers are told\n", len(list.Receivers))
	}
	for _, a := range list.Firing {
		printable.Fprintf(t, "firing\t%s\tsince %s\t%s\n", a.Alert, clock(a.Since)[:19], a.Summary)
		printable.Fprintf(t, "\t\t\t→ %s\n", a.WhatToDo)
	}
	for _, a := range list.Resolved {
		over := a.Since
		if a.ResolvedAt != nil {
			over = *a.ResolvedAt
		}
		printable.Fprintf(t, "resolved\t%s\tat %s, after %s\t%s\n", a.Alert, clock(over)[:19],
			over.Sub(a.Since).Round(time.Second), a.Summary)
	}
	for _, r := range list.Receivers {
		last := "not used yet"
		if r.LastAt != nil {
			last = "last " + clock(*r.LastAt)[:19] + " " + outcomeText(r.LastStatus, r.LastError)
		}
		printable.Fprintf(t, "%s\t%s\t%d sent, %d wait, %d dropped\t%s\n", r.Kind, r.Host, r.Sent, r.Waiting,
			r.Dropped, last)
	}
	if list.Untold > 0 {
		printable.Fprintf(t, "and %d more, which are not told\n", list.Untold)
	}
}

// outcomeText is how an attempt ended.
func outcomeText(status int, code string) string {
	text := "taken"
	if code != "" {
		text = code
	}
	if status > 0 {
		text += fmt.Sprintf(", HTTP %d", status)
	}
	return text
}

// Alerts tells what fires, and which receivers don't take what they are sent.
func (d *Doctor) Alerts(list client.AlertList, err error) {
	var refused *client.Error
	switch {
	case errors.As(err, &refused) && (refused.Code == httpapi.NotFound || refused.Code == httpapi.Forbidden):
		return // an older server, or a key that may not see them
	case err != nil:
		d.Warn("alerts", "", "they can't be seen: %v", err)
		return
	}
	for _, a := range list.Firing {
		d.Warn("alerts", a.WhatToDo, "%s, since %s: %s", a.Alert, clock(a.Since)[:19], a.Summary)
	}
	for _, r := range list.Receivers {
		if r.LastError != "" || r.Dropped > 0 {
			d.Warn("alerts", "see that ALERT_URLS is right and its receiver there: enqueue alerts test",
				"%s at %s: %s; %d messages wait, %d were dropped", r.Kind, r.Host,
				outcomeText(r.LastStatus, r.LastError), r.Waiting, r.Dropped)
		}
	}
	if len(list.Firing) == 0 {
		d.OK("alerts", "none is firing, %d receivers are told", len(list.Receivers))
	}
}
