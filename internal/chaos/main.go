//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"longshore/internal/chaos/check"
	"longshore/internal/chaos/history"
	"longshore/internal/chaos/machine"
	"longshore/internal/redisdb"
	"longshore/worker"
)

// Exit codes.
const (
	green    = 0
	red      = 1 // an invariant was violated; with controls: a sabotage was not found
	wrongUse = 2
	invalid  = 3 // no fault hit running work: the run shows nothing
	broken   = 4 // the run itself did not get to its end
)

var (
	errUse     = errors.New("usage: chaos run|controls|soak|check [flags]")
	errRed     = errors.New("an invariant was violated")
	errInvalid = errors.New("the run is no evidence")
)

func main() {
	worker.Main(registry()) // in a child process of the worker it does not return
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	code := green
	switch {
	case err == nil:
	case errors.Is(err, errRed):
		code = red
	case errors.Is(err, errUse), errors.Is(err, flag.ErrHelp):
		code = wrongUse
	case errors.Is(err, errInvalid):
		code = invalid
	default:
		code = broken
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUse
	}
	redisdb.LogTo(slog.New(slog.DiscardHandler)) // connections are lost on purpose
	switch args[0] {
	case "worker":
		return work(ctx)
	case "run":
		return runPasses(ctx, args[1:], out)
	case "controls":
		return controls(ctx, args[1:], out)
	case "soak":
		return soak(ctx, args[1:], out)
	case "check":
		return judge(args[1:], out)
	}
	return errUse
}

// flags are those that all commands have that run something.
func flags(name string, o *options, duration time.Duration, rate float64) *flag.FlagSet {
	fs := flag.NewFlagSet("chaos "+name, flag.ContinueOnError)
	fs.DurationVar(&o.duration, "duration", duration, "how long clients come")
	fs.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "of the clients and the nemesis")
	fs.Float64Var(&o.rate, "rate", rate, "jobs a second")
	fs.StringVar(&o.dir, "dir", "",
		"folder for the histories; a temporary one if empty, removed if all is well")
	fs.DurationVar(&o.settle, "settle", time.Minute,
		"how long jobs and callbacks may take after the last fault")
	fs.StringVar(&o.programs, "programs", "", "folder of programs that are built already")
	return fs
}

// folder makes the folder. end removes it where it is not worth to be kept.
func (o *options) folder() (end func(error) error, err error) {
	if o.dir != "" {
		return func(err error) error { return err }, os.MkdirAll(o.dir, 0o700)
	}
	o.dir, err = os.MkdirTemp("", "chaos-")
	return func(err error) error {
		if err != nil {
			fmt.Fprintln(o.said, "histories and logs are in", o.dir)
			return err
		}
		return os.RemoveAll(o.dir)
	}, err
}

// begin is folder, and builds the programs where that is to be done.
func (o *options) begin(ctx context.Context, sabotage string) (end func(error) error, err error) {
	end, err = o.folder()
	if err != nil || o.programs != "" {
		return end, err
	}
	o.programs = filepath.Join(o.dir, "programs")
	return end, machine.Build(ctx, ".", o.programs, sabotage)
}

// runPasses is command run.
func runPasses(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{said: out}
	fs := flags("run", &o, 20*time.Minute, 10)
	names := fs.String("faults", "", "only these kinds, separated by commas, in one pass: "+
		strings.Join(kinds(), " "))
	only := fs.String("passes", "", "only these passes, separated by commas")
	doc := fs.String("write", "", "the document to put the table into")
	sabotage := fs.String("sabotage", "", "a safeguard to switch off")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUse, err)
	}
	chosen, err := choose(*names, *only)
	if err != nil {
		return err
	}
	end, err := o.begin(ctx, *sabotage)
	defer func() { err = end(err) }()
	if err != nil {
		return err
	}
	outcomes, err := o.all(ctx, chosen)
	if err != nil {
		return err
	}
	if *doc != "" {
		if err := write(*doc, o, outcomes); err != nil {
			return err
		}
	}
	return verdict(outcomes)
}

// choose returns the passes to make.
func choose(names, only string) ([]pass, error) {
	if names == "" {
		chosen := slices.Clone(passes)
		if only != "" {
			chosen = slices.DeleteFunc(chosen, func(p pass) bool {
				return !slices.Contains(strings.Split(only, ","), p.name)
			})
		}
		if len(chosen) == 0 {
			return nil, fmt.Errorf("%w: no pass has that name", errUse)
		}
		return chosen, nil
	}
	p := pass{name: "chosen", part: 1, fsync: "everysec", faults: strings.Split(names, ",")}
	for _, name := range p.faults {
		if faults[name] == nil {
			return nil, fmt.Errorf("%w: there is no fault %q", errUse, name)
		}
		p.power = p.power || name == "redis.power"
		p.clock = p.clock || name == "redis.clock"
		if strings.HasPrefix(name, "disk.") {
			p.space = 96 << 20
		}
	}
	return []pass{p}, nil
}

// all makes the passes one after the other, each for its part of the time.
func (o options) all(ctx context.Context, chosen []pass) (outcomes []outcome, err error) {
	whole := 0.0
	for _, p := range chosen {
		whole += p.part
	}
	for _, p := range chosen {
		part := o
		part.duration = max(15*time.Second, time.Duration(p.part/whole*float64(o.duration)))
		fmt.Fprintf(o.said, "== %s: seed %d, %v, %v jobs a second\n", p.name, o.seed, part.duration, o.rate)
		made := outcome{pass: p}
		began := time.Now()
		made.report, err = p.run(ctx, part)
		made.took = time.Since(began)
		if err != nil && (len(chosen) == 1 || ctx.Err() != nil) {
			return outcomes, fmt.Errorf("pass %s: %w", p.name, err)
		}
		if err != nil {
			made.absent = err.Error()
		}
		made.tell(o.said, o.seed)
		outcomes = append(outcomes, made)
	}
	return outcomes, nil
}

// verdict is red before it is invalid.
func verdict(outcomes []outcome) error {
	var absent error
	for _, o := range outcomes {
		if len(o.report.Violations) > 0 {
			return errRed
		}
		if o.absent != "" || o.report.Invalid != "" {
			absent = fmt.Errorf("%w: pass %s: %s%s", errInvalid, o.pass.name, o.absent, o.report.Invalid)
		}
	}
	return absent
}

// judge is command check: a history that was kept, judged again.
func judge(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errUse
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := history.Read(f)
	if err != nil {
		return err
	}
	o := outcome{pass: pass{name: args[0]}, report: check.Check(events)}
	o.tell(out, 0)
	return verdict([]outcome{o})
}
