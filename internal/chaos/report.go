//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"longshore/internal/chaos/check"
)

// An outcome is what came of one pass.
type outcome struct {
	pass   pass
	report check.Report
	took   time.Duration
	absent string // why it was not made; "" = it was
}

// mostShown is how many violations of an invariant are shown in full.
const mostShown = 2

// tell prints what a pass has shown.
func (o outcome) tell(out io.Writer, seed uint64) {
	if o.absent != "" {
		fmt.Fprintf(out, "\n== %s: not made: %s\n", o.pass.name, o.absent)
		return
	}
	r := o.report
	fmt.Fprintf(out, "\n== %s: seed %d, %d jobs acknowledged", o.pass.name, seed, r.Acked)
	if r.Forgiven > 0 {
		fmt.Fprintf(out, ", of which the faults may take %d", r.Forgiven)
	}
	fmt.Fprintf(out, "\n")
	for _, f := range r.Faults {
		fmt.Fprintf(out, "   %-14s %3d times, %5d hits\n", f.Way, f.Times, f.Hits)
	}
	for _, f := range r.Figures {
		fmt.Fprintf(out, "   %-36s %-22s %s\n", f.Name, f.Goal, f.Value)
	}
	shown := map[string]int{}
	for _, v := range r.Violations {
		if shown[v.Invariant]++; shown[v.Invariant] <= mostShown {
			fmt.Fprintln(out, "  ", v)
		}
	}
	for _, name := range r.By() {
		fmt.Fprintf(out, "   VIOLATED %s: %d times\n", name, shown[name])
	}
	switch {
	case r.Invalid != "":
		fmt.Fprintf(out, "   INVALID: %s\n", r.Invalid)
	case len(r.Violations) == 0:
		fmt.Fprintf(out, "   no violation\n")
	}
}

// The part of the document that a run writes.
const (
	beginMark = "<!-- written by make chaos: begin -->\n"
	endMark   = "<!-- written by make chaos: end -->\n"
)

// write puts the table of a run into the document.
func write(file string, o options, outcomes []outcome) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return errors.New(file + " has no place for the table")
	}
	return os.WriteFile(file, slices.Concat(before, []byte(beginMark+table(o, outcomes)+endMark), after),
		0o644)
}

// table is a run as the document shows it.
func table(o options, outcomes []outcome) string {
	var b strings.Builder
	acked := 0
	for _, out := range outcomes {
		acked += out.report.Acked
	}
	fmt.Fprintf(&b, "\nSeed %d, %v, %v jobs a second: %d acknowledged jobs.\n\n", o.seed, o.duration, o.rate,
		acked)
	b.WriteString("| pass | fault | times | hits | what was seen |\n|---|---|---|---|---|\n")
	for _, out := range outcomes {
		if out.absent != "" {
			fmt.Fprintf(&b, "| %s | | 0 | | not made: %s |\n", out.pass.name, out.absent)
			continue
		}
		for i, f := range out.report.Faults {
			seen := ""
			if i == 0 {
				seen = seenIn(out.report)
			}
			fmt.Fprintf(&b, "| %s | `%s` | %d | %d | %s |\n", out.pass.name, f.Way, f.Times, f.Hits, seen)
		}
	}
	b.WriteString("\n| promise | goal |")
	made := slices.DeleteFunc(slices.Clone(outcomes), func(out outcome) bool { return out.absent != "" })
	for _, out := range made {
		fmt.Fprintf(&b, " %s |", out.pass.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(made)) + "\n")
	if len(made) > 0 {
		for i, f := range made[0].report.Figures {
			fmt.Fprintf(&b, "| %s | %s |", f.Name, f.Goal)
			for _, out := range made {
				fmt.Fprintf(&b, " %s |", out.report.Figures[i].Value)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}

// seenIn is a pass in a few words.
func seenIn(r check.Report) string {
	var words []string
	for _, name := range r.By() {
		n := 0
		for _, v := range r.Violations {
			if v.Invariant == name {
				n++
			}
		}
		words = append(words, fmt.Sprintf("%s violated %d ×", name, n))
	}
	if words == nil {
		words = []string{"all invariants held"}
	}
	if r.Forgiven > 0 {
		words = append(words, fmt.Sprintf("%d jobs were the faults' to take", r.Forgiven))
	}
	if r.Invalid != "" {
		words = append(words, "no evidence: "+r.Invalid)
	}
	return strings.Join(words, "; ")
}
