package check

import (
	"fmt"
	"slices"
	"time"

	"longshore/internal/chaos/history"
)

// A Figure is something measured, with what is promised.
type Figure struct {
	Name  string
	Goal  string
	Value string
}

// figures measures what docs/reliability.md tells.
func (f *facts) figures() []Figure {
	var recovery, wake, cancels, refusals, late, exits []int64
	for _, r := range f.reruns() {
		recovery = append(recovery, r[1].T-r[0].T)
	}
	for _, w := range f.wakes() {
		wake = append(wake, max(0, w.seen.T-w.end.T))
	}
	lost := 0
	for id := range f.acked {
		if final, ok := f.final[id]; !ok || !slices.Contains(terminal, final.State) {
			lost++
		}
		if c := f.of(id, history.Cancel); len(c) > 0 {
			took, _ := f.canceled(id, c[0])
			cancels = append(cancels, took)
		}
	}
	unknown := 0
	for _, e := range f.events {
		switch {
		case e.Kind == history.Refused && e.Way == "submit":
			refusals = append(refusals, e.T-e.From)
		case e.Kind == history.Waited && !f.struck(e.Proc, e.From, e.T):
			late = append(late, max(0, e.T-e.From-e.Wait))
		case e.Kind == history.Exit && e.Wait > 0:
			exits = append(exits, e.Wait)
		case e.Kind == history.Unknown:
			unknown++
		}
	}
	return []Figure{
		{"acknowledged jobs that did not end", "0", fmt.Sprintf("%d of %d", lost, len(f.acked))},
		{"a killed worker's job runs again", "p50 ≤ 8 s, p100 ≤ 12 s", spread(recovery)},
		{"a waiter wakes, no fault near", "p99 ≤ 250 ms", spread(wake)},
		{"a waiter past its wait", "≤ 1 s", spread(late)},
		{"a canceled job ends", "≤ 5 s", spread(cancels)},
		{"a submission is refused", "≤ 50 ms", spread(refusals)},
		{"a program ends after SIGTERM", "≤ grace (10 s) + 2 s", spread(exits)},
		{"requests without an answer", "", fmt.Sprint(unknown)},
	}
}

// spread tells of many durations how they lie.
func spread(v []int64) string {
	if len(v) == 0 {
		return "none"
	}
	slices.Sort(v)
	at := func(part float64) time.Duration {
		d := time.Duration(v[min(len(v)-1, int(part*float64(len(v))))]) * time.Microsecond
		if d > time.Second {
			return d.Round(10 * time.Millisecond)
		}
		return d.Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, most %v (n = %d)", at(0.5), at(0.99), at(1), len(v))
}
