package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"longshore/cmd/internal/program"
	"longshore/internal/cluster"
)

// ask has the cluster that runs do something.
func ask(folder string, args []string, stdout io.Writer) error {
	var requests []cluster.Request
	switch verb, rest := args[0], args[1:]; {
	case verb == "status" && len(rest) == 0:
		requests = append(requests, cluster.Request{Do: verb})
	case verb == "scale" && len(rest) > 0:
		counts, err := parseCounts(rest)
		if err != nil {
			return err
		}
		for _, c := range counts {
			requests = append(requests, cluster.Request{Do: verb, Type: c.Type, N: c.N, Max: c.Max})
		}
	case verb == "restart" && len(rest) == 0:
		requests = append(requests, cluster.Request{Do: verb})
	case verb == "restart" && len(rest) == 1:
		requests = append(requests, cluster.Request{Do: verb, Type: rest[0]})
	default:
		return fmt.Errorf("%w: cluster %s: see cluster --help", program.ErrUsage, verb)
	}
	for _, r := range requests {
		a, err := cluster.Ask(folder, r, func(a cluster.Answer) { fmt.Fprintln(stdout, a.Line) })
		if err != nil {
			return err
		}
		if a.Error != "" {
			return fmt.Errorf("%w: %s", errRefused, a.Error)
		}
		if r.Do == "status" {
			show(a.Processes, stdout)
		}
	}
	return nil
}

// show writes the table of status.
func show(processes []cluster.Status, stdout io.Writer) {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "PROCESS\tPID\tSTATE\tFOR\tBUSY")
	for _, p := range processes {
		pid, busy := "-", "-"
		if p.PID != 0 {
			pid = fmt.Sprint(p.PID)
		}
		if p.Busy != nil {
			busy = fmt.Sprint(*p.Busy)
		}
		since := (time.Duration(p.Seconds) * time.Second).String()
		if p.PID == 0 {
			since = "in " + since
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Process, pid, p.State, since, busy)
	}
}
