package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long one measure of one peer may take.
const patience = 3 * time.Minute

// figures are the values of one peer, a measure's name to one value a round.
type figures map[string][]float64

func (f figures) add(name string, v float64) { f[name] = append(f[name], v) }

// A rig is one peer with its server, ready to be measured.
type rig struct {
	peer   peer
	server server
	dir    string
	jobs   int
	f      figures
}

// bulk submits n jobs to an empty server.
func (r *rig) bulk(ctx context.Context, n int, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.server.clear(ctx); err != nil {
		return err
	}
	before, err := r.server.stored(ctx)
	if err != nil {
		return err
	}
	p, err := start(r.peer.command(r.dir, "bulk", strconv.Itoa(n)), r.server.url())
	if err != nil {
		return err
	}
	defer p.stop()
	text, err := p.await(ctx, "took")
	if err != nil {
		return err
	}
	took, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	after, err := r.server.stored(ctx)
	if err != nil {
		return err
	}
	if keep {
		r.f.add("bulk", float64(n)/time.Duration(took).Seconds())
		r.f.add("pending", float64(after-before)/float64(n))
	}
	return nil
}

// drain lets some worker processes do the jobs that wait. The rate counts from
// the first report on, so that it has no start-up in it.
func (r *rig) drain(ctx context.Context, n, processes int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	workers, err := r.workers(ctx, processes)
	defer stopAll(workers)
	if err != nil {
		return err
	}
	cpu, serverCPU := time.Duration(0), r.server.usage().cpu
	for _, w := range workers {
		cpu -= treeUsage(w.cmd.Process.Pid).cpu
	}
	t, err := r.follow(ctx, workers, n)
	if err != nil {
		return err
	}
	resident := int64(0)
	for _, w := range workers {
		u := treeUsage(w.cmd.Process.Pid)
		cpu += u.cpu
		resident += u.resident
	}
	r.f.add(fmt.Sprintf("drain%d", processes), float64(t.count-t.first)/t.end.Sub(t.begin).Seconds())
	if processes == 1 {
		r.f.add("cpu_worker", float64(cpu.Microseconds())/float64(n))
		r.f.add("cpu_server", float64((r.server.usage().cpu-serverCPU).Microseconds())/float64(n))
		r.f.add("rss", float64(resident)/(1<<20))
	}
	return nil
}

func (r *rig) workers(ctx context.Context, n int) ([]*process, error) {
	var all []*process
	for range n {
		p, err := start(r.peer.command(r.dir, "work"), r.server.url())
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
	for _, p := range all {
		if _, err := p.await(ctx, "ready"); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stopAll(workers []*process) {
	for _, w := range workers {
		w.stop()
	}
}

// A course is how a drain went.
type course struct {
	begin, end   time.Time
	first, count int64 // jobs done by begin, by end
}

// follow reads the workers' reports until n jobs are done.
func (r *rig) follow(ctx context.Context, workers []*process, n int) (c course, err error) {
	merged := make(chan string, 64)
	for _, w := range workers {
		go func() {
			for line := range w.lines {
				select {
				case merged <- line:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	done := map[string]int64{}
	for c.count < int64(n) {
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("%d of %d jobs done: %w", c.count, n, context.Cause(ctx))
		case line := <-merged:
			f := strings.Fields(line)
			if len(f) != 4 || f[0] != "done" {
				continue
			}
			count, _ := strconv.ParseInt(f[2], 10, 64)
			at, _ := strconv.ParseInt(f[3], 10, 64)
			c.count += count - done[f[1]]
			done[f[1]] = count
			when := time.Unix(0, at)
			if c.begin.IsZero() {
				c.begin, c.first = when, c.count
			}
			if when.After(c.end) {
				c.end = when
			}
		}
	}
	return c, nil
}

// idle measures the latency of lone jobs on an idle system, then what the
// system uses when nothing at all happens.
func (r *rig) idle(ctx context.Context, samples int, rest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.server.clear(ctx); err != nil {
		return err
	}
	workers, err := r.workers(ctx, 1)
	defer stopAll(workers)
	if err != nil {
		return err
	}
	const warm = 10
	p, err := start(r.peer.command(r.dir, "trickle", strconv.Itoa(samples+warm), "23"), r.server.url())
	if err != nil {
		return err
	}
	defer p.stop()
	var late []float64
	for i := range samples + warm {
		text, err := workers[0].await(ctx, "late")
		if err != nil {
			return err
		}
		ns, _ := strconv.ParseFloat(text, 64)
		if i >= warm {
			late = append(late, ns/1e6)
		}
	}
	slices.Sort(late)
	r.f.add("p50", late[len(late)/2])
	r.f.add("p99", late[len(late)*99/100])

	worker, server := treeUsage(workers[0].cmd.Process.Pid).cpu, r.server.usage().cpu
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rest):
	}
	used := treeUsage(workers[0].cmd.Process.Pid).cpu - worker + r.server.usage().cpu - server
	r.f.add("idle_cpu", 100*used.Seconds()/rest.Seconds())
	return nil
}
