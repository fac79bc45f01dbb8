package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// columns of the report, in its order.
var columns = []struct{ name, title, format string }{
	{"p50", "idle p50, ms", "%.2f"},
	{"p99", "idle p99, ms", "%.2f"},
	{"idle_cpu", "idle CPU, % of a core", "%.1f"},
	{"drain1", "drain, jobs/s", "%.0f"},
	{"drain2", "drain, 2 workers, jobs/s", "%.0f"},
	{"bulk", "bulk submit, jobs/s", "%.0f"},
	{"cpu_worker", "worker, µs CPU a job", "%.0f"},
	{"cpu_server", "server, µs CPU a job", "%.0f"},
	{"rss", "worker, MiB resident", "%.0f"},
	{"pending", "store, bytes a pending job", "%.0f"},
}

// report is the table of medians with least and most, and the ratios.
func report(rigs []*rig, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b,
		"%d rounds, the peers in turn; %d jobs a drain (Celery a tenth); %d lone jobs of 23 ms distance; %d cores shared by all.\n",
		o.rounds, o.jobs, o.samples, runtime.NumCPU())
	fmt.Fprint(&b, "Each cell: median (least–most).\n\n| measure |")
	for _, r := range rigs {
		fmt.Fprintf(&b, " %s |", r.peer.name)
	}
	fmt.Fprint(&b, "\n|---|", strings.Repeat("---|", len(rigs)), "\n")
	for _, c := range columns {
		fmt.Fprintf(&b, "| %s |", c.title)
		for _, r := range rigs {
			v := r.f[c.name]
			fmt.Fprintf(&b, " %s |", spread(v, c.format))
		}
		fmt.Fprintln(&b)
	}
	if ours := find(rigs, "longshore"); ours != nil {
		fmt.Fprint(&b, "\nLongshore as a multiple, median of the rounds' ratios:\n\n| measure |")
		for _, r := range rigs[1:] {
			fmt.Fprintf(&b, " of %s |", r.peer.name)
		}
		fmt.Fprint(&b, "\n|---|", strings.Repeat("---|", len(rigs)-1), "\n")
		for _, c := range columns {
			fmt.Fprintf(&b, "| %s |", c.title)
			for _, r := range rigs[1:] {
				fmt.Fprintf(&b, " %s |", ratio(ours.f[c.name], r.f[c.name]))
			}
			fmt.Fprintln(&b)
		}
	}
	fmt.Fprint(&b, "\nSettings:\n\n")
	for _, r := range rigs {
		fmt.Fprintf(&b, "- %s: %s\n", r.peer.name, r.peer.settings)
	}
	return b.String()
}

func ratio(ours, theirs []float64) string {
	var all []float64
	for i, v := range theirs {
		if i < len(ours) && v > 0 {
			all = append(all, ours[i]/v)
		}
	}
	if len(all) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", median(all))
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// replaceSection puts the text between a section's marks.
func replaceSection(file, section, text string) error {
	mark, end := "<!-- "+section+": begin, written by make bench-peers -->\n", "<!-- "+section+": end -->\n"
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(old), mark)
	_, foot, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no section between %q and %q", file, strings.TrimSpace(mark),
			strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(head+mark+"\n"+text+"\n"+end+foot), 0o644)
}
