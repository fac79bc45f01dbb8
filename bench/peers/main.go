package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 3 && os.Args[1] == "role" {
		if err := play(roles[os.Args[2]], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "pushrole" {
		if err := playPush(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	run := run
	if len(os.Args) > 1 && os.Args[1] == "push" {
		run, os.Args = push, os.Args[1:]
	}
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// options of a run.
type options struct {
	rounds, jobs, samples int
	rest                  time.Duration
	only, file            string
	big                   bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 3, "rounds; the peers take turns in each")
	f.IntVar(&o.jobs, "n", 50_000, "jobs of a drain")
	f.IntVar(&o.samples, "samples", 200, "lone jobs of the latency")
	f.DurationVar(&o.rest, "rest", 5*time.Second, "how long the CPU time of an idle system is measured")
	f.StringVar(&o.only, "only", "", "peers to run, with commas; empty = all")
	f.StringVar(&o.file, "write", "", "Markdown file whose section between the peers' marks is replaced")
	f.BoolVar(&o.big, "big", true, "also measure Longshore with 1,000,000 jobs pending and 100,000 retained")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rigs, closeServers, err := o.rigs(ctx, dir, stderr)
	defer closeServers()
	if err != nil {
		return err
	}
	for round := range o.rounds {
		for _, r := range rigs {
			fmt.Fprintf(stderr, "round %d of %d: %s\n", round+1, o.rounds, r.peer.name)
			if err := r.round(ctx, o); err != nil {
				return fmt.Errorf("%s: %w", r.peer.name, err)
			}
		}
	}
	text := report(rigs, o)
	if ours := find(rigs, "longshore"); ours != nil {
		extra, err := alone(ctx, ours, o, stderr)
		if err != nil {
			return err
		}
		text += extra
	}
	fmt.Fprint(stdout, text)
	if o.file == "" {
		return nil
	}
	return replaceSection(o.file, "peers", text)
}

// round takes all measures of one peer once.
func (r *rig) round(ctx context.Context, o options) error {
	for processes := 1; processes <= 2; processes++ {
		if err := r.bulk(ctx, r.jobs, true); err != nil {
			return fmt.Errorf("bulk submit: %w", err)
		}
		if err := r.drain(ctx, r.jobs, processes); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
	}
	if err := r.idle(ctx, o.samples, o.rest); err != nil {
		return fmt.Errorf("idle: %w", err)
	}
	return nil
}

// rigs installs the peers and starts their servers.
func (o options) rigs(ctx context.Context, dir string,
	stderr io.Writer) (all []*rig, closeServers func(), err error) {
	servers := map[string]server{}
	closeServers = func() {
		for _, s := range servers {
			s.close()
		}
	}
	for _, p := range peers() {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), p.name) {
			continue
		}
		own := filepath.Join(dir, p.name)
		if err := os.MkdirAll(filepath.Join(own, "blobs"), 0o700); err != nil {
			return nil, closeServers, err
		}
		if err := p.install(own); err != nil {
			fmt.Fprintf(stderr, "%s is left out: %v\n", p.name, err)
			continue
		}
		if servers[p.server] == nil {
			var s server
			if p.server == "redis" {
				s, err = startRedis(ctx)
			} else {
				s, err = startPostgres(ctx)
			}
			if err != nil {
				fmt.Fprintf(stderr, "%s is left out: %v\n", p.name, err)
				continue
			}
			servers[p.server] = s
		}
		all = append(all, &rig{peer: p, server: servers[p.server], dir: own, jobs: o.jobs * p.share / 100,
			f: figures{}})
	}
	return all, closeServers, nil
}

func find(rigs []*rig, name string) *rig {
	i := slices.IndexFunc(rigs, func(r *rig) bool { return r.peer.name == name })
	if i < 0 {
		return nil
	}
	return rigs[i]
}
