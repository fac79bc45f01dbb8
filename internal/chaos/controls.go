//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"longshore/internal/chaos/machine"
)

// A control is a run without one safeguard: the checker must tell of it, or it is worth nothing.
type control struct {
	sabotage string
	pass     pass
	want     []string // one of these must be violated
}

var negatives = []control{
	{"fence", pass{name: "fence", faults: []string{"worker.stop"}}, []string{"I6"}},
	{"sweeper", pass{name: "sweeper", faults: []string{"worker.kill"}}, []string{"I1", "recovery"}},
	{"fallback", pass{name: "fallback", faults: []string{"net.deaf"}}, []string{"I10"}},
	{"idempotency", pass{name: "idempotency", faults: []string{"redis.kill"}}, []string{"I3"}},
	// Redis is the one that syncs: it is started so that it doesn't, and the promise is that of always.
	{"fsync", pass{name: "fsync", faults: []string{"redis.power"}, fsync: "no", power: true},
		[]string{"I1", "I4", "I5"}},
}

// controls is the command: each must go red.
func controls(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{said: out}
	fs := flags("controls", &o, 30*time.Second, 10)
	only := fs.String("only", "", "only these, separated by commas")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUse, err)
	}
	if o.programs != "" {
		return fmt.Errorf("%w: each control builds its own programs", errUse)
	}
	end, err := o.folder()
	defer func() { err = end(err) }()
	if err != nil {
		return err
	}
	var bad []error
	for _, c := range negatives {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), c.sabotage) {
			continue
		}
		if err := c.try(ctx, o); err != nil {
			bad = append(bad, fmt.Errorf("without %s: %w", c.sabotage, err))
			fmt.Fprintf(out, "   NOT FOUND: %v\n", err)
			continue
		}
		fmt.Fprintf(out, "   without %s the checker went red, as it must\n", c.sabotage)
	}
	return errors.Join(bad...)
}

// try makes the run.
func (c control) try(ctx context.Context, o options) error {
	o.settle = min(o.settle, 15*time.Second)
	c.pass.part, o.programs = 1, filepath.Join(o.dir, "programs-"+c.sabotage)
	if c.pass.fsync == "" {
		c.pass.fsync = "everysec"
	}
	if err := machine.Build(ctx, ".", o.programs, c.sabotage); err != nil {
		return err
	}
	outcomes, err := o.all(ctx, []pass{c.pass})
	if err != nil {
		return err
	}
	by := outcomes[0].report.By()
	if !slices.ContainsFunc(c.want, func(name string) bool { return slices.Contains(by, name) }) {
		return fmt.Errorf("%w: none of %s was violated, but %v", errRed, strings.Join(c.want, ", "), by)
	}
	return nil
}
