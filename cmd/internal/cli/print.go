package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"longshore/internal/printable"
	"longshore/job"
)

var formats = []string{"text", "json", "jsonl"}

func (p *CLI) checkFormat() error {
	if !slices.Contains(formats, p.format) {
		return Usage("--format must be one of %s", strings.Join(formats, ", "))
	}
	return nil
}

// printID prints a job that was just submitted: in text only its id, for scripts.
func (p *CLI) printID(snap job.Snapshot) error {
	if p.format == "text" {
		return p.write([]byte(snap.ID + "\n"))
	}
	return p.printJob(snap)
}

// printJob prints a job in the format asked for.
func (p *CLI) printJob(snap job.Snapshot) error {
	if p.format == "text" {
		return p.write(describe(snap))
	}
	return p.PrintJSON(snap)
}

// Text reports whether data is written for people.
func (p *CLI) Text() bool { return p.format == "text" }

// PrintJSON prints a value as JSON, in the format asked for.
func (p *CLI) PrintJSON(v any) error {
	text, err := printable.JSON(v, p.format == "json")
	if err != nil {
		return err
	}
	return p.write(text)
}

// Show prints a value as JSON, or else by a function, as text.
func (p *CLI) Show(v any, text func(*tabwriter.Writer)) error {
	if p.format != "text" {
		return p.PrintJSON(v)
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	text(t)
	_ = t.Flush() // a Buffer takes everything
	return p.write(b.Bytes())
}

// showList is Show for a list, of which jsonl has a line an item.
func showList[T any](p *CLI, all []T, text func(*tabwriter.Writer)) error {
	if p.format == "jsonl" {
		return printLines(p, all)
	}
	return p.Show(all, text)
}

func (p *CLI) write(text []byte) error {
	if _, err := p.out.Write(text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// describe is a job as a person reads it; absent parts are left out.
func describe(snap job.Snapshot) []byte {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		printable.Fprintf(table, name+"\t"+format+"\n", args...)
	}
	row("job", "%s", snap.ID)
	row("type", "%s", snap.Type)
	row("state", "%s", stateOf(snap))
	if snap.Attempt > 0 {
		row("attempt", "%d of %d", snap.Attempt, snap.MaxAttempts)
	}
	if snap.RetryOf != "" {
		row("retry of", "%s", snap.RetryOf)
	}
	if snap.Held() {
		row("held", "%s", snap.Hold.Why)
	}
	for i, one := range snap.After {
		name, how := "", cmp.Or(string(one.State), "open")
		if i == 0 {
			name = "after"
		}
		row(name, "%s %s", one.ID, how)
	}
	row("created", "%s", clock(snap.CreatedAt))
	if snap.RunAt != nil && !snap.Done {
		row("not before", "%s", clock(*snap.RunAt))
	}
	if snap.StartedAt != nil {
		row("started", "%s", clock(*snap.StartedAt))
	}
	if snap.FinishedAt != nil {
		row("finished", "%s", clock(*snap.FinishedAt))
	}
	if snap.Usage != nil {
		row("took", "%v", time.Duration(snap.Usage.WallMS)*time.Millisecond)
	}
	if snap.Progress != nil && !snap.Done {
		row("progress", "%s", progressText(snap.Progress))
	}
	if snap.Error != nil {
		row("error", "%s: %s", snap.Error.Code, snap.Error.Message)
	}
	for _, o := range snap.Outputs {
		row("output", "%s, %s, %s", o.Name, BytesText(o.Size), o.ContentType)
	}
	_ = table.Flush() // a Buffer takes everything
	if len(snap.Result) > 0 {
		fmt.Fprintln(&b)
		if err := json.Indent(&b, snap.Result, "", "  "); err != nil {
			b.WriteString(printable.Text(string(snap.Result)))
		}
		fmt.Fprintln(&b)
	}
	return b.Bytes()
}

func stateOf(snap job.Snapshot) string {
	if snap.CancelRequested && !snap.Done {
		return string(snap.State) + " (cancel requested)"
	}
	return string(snap.State)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") }
