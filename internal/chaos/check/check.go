// Package check reads the history of a chaos run and tells what must not have happened. It
// looks at nothing else, so that a history which was kept can be judged again. The
// invariants are numbered as in docs/reliability.md.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"longshore/internal/chaos/history"
)

// A Violation is one thing that must not happen and did, with the events that show it.
type Violation struct {
	Invariant string // "I4", or a word for what has no number
	Job       string // "" if it is about no single one
	Text      string
	Slice     []history.Event // in order, with the faults that were on meanwhile
}

// A Report is what a history tells.
type Report struct {
	Violations []Violation
	Figures    []Figure
	Faults     []FaultCount
	Acked      int    // jobs that were acknowledged
	Forgiven   int    // of them, those that a fault may have taken: see facts.forgiven
	Invalid    string // why the history is no evidence; "" = it is
}

// A FaultCount is how often one kind of fault struck, and how many runs and waiters it hit.
type FaultCount struct {
	Way    string
	Times  int
	Hits   int64
	Missed int // times that it hit nothing
}

// An invariant looks for its violations.
type invariant struct {
	name  string
	check func(*facts) []Violation
}

// invariants are all, in the order of the document.
var invariants = []invariant{
	{"I1", everyJobEnds}, {"I2", noneIsInvented}, {"I3", oneJobAKey}, {"I4", oneEnd}, {"I5", revGrows},
	{"I6", oneFinish}, {"I7", endsHaveRuns}, {"I8", noOverlap}, {"I9", waitsEnd}, {"I10", wakesInTime},
	{"I11", resultsStay}, {"I12", uploadsStay}, {"I14", nothingLeft}, {"I17", cancelsEnd}, {"I18", noSecret},
	{"I19", noAttemptLost}, {"recovery", runsAgain}, {"answers", answersAreClear}, {"rolling", rollsUnseen},
	{"noticed", lossIsNoticed},
}

// Check judges a history.
func Check(events []history.Event) Report {
	f := gather(events)
	r := Report{Acked: len(f.acked), Forgiven: len(f.forgiven), Faults: f.counts()}
	for _, i := range invariants {
		found := i.check(f)
		for n := range found {
			if found[n].Invariant == "" {
				found[n].Invariant = i.name
			}
			found[n].Slice = f.slice(found[n].Slice)
		}
		r.Violations = append(r.Violations, found...)
	}
	// The shortest shows best what went wrong.
	slices.SortStableFunc(r.Violations, func(a, b Violation) int {
		return cmp.Compare(len(a.Slice), len(b.Slice))
	})
	r.Figures = f.figures()
	r.Invalid = f.invalid(r.Faults)
	return r
}

// By returns the names of the invariants that were violated, sorted.
func (r Report) By() (names []string) {
	for _, v := range r.Violations {
		names = append(names, v.Invariant)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// String tells one violation with its slice.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Invariant, v.Text)
	if v.Job != "" {
		fmt.Fprintf(&b, " (job %s)", v.Job)
	}
	for _, e := range v.Slice {
		fmt.Fprintf(&b, "\n    %s", line(e))
	}
	return b.String()
}

// line is an event for a reader.
func line(e history.Event) string {
	text := fmt.Sprintf("%10.3f s  %-8s", float64(e.T)/1e6, e.Kind)
	add := func(name string, value any) {
		if s := fmt.Sprint(value); s != "" && s != "0" && s != "false" {
			text += " " + name + "=" + s
		}
	}
	add("way", e.Way)
	add("proc", e.Proc)
	add("key", e.Key)
	add("job", e.Job)
	add("rev", e.Rev)
	add("state", e.State)
	add("attempt", e.Attempt)
	add("digest", e.Digest)
	add("status", e.Status)
	add("code", e.Code)
	add("n", e.N)
	if e.From > 0 {
		text += fmt.Sprintf(" took=%.3fs", float64(e.T-e.From)/1e6)
	}
	if e.Wait > 0 {
		text += fmt.Sprintf(" wait=%.3fs", float64(e.Wait)/1e6)
	}
	if e.Text != "" {
		text += " " + e.Text
	}
	return text
}
