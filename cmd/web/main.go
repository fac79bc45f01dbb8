// Command web serves Longshore's HTTP interface: it takes jobs in, tells how
// they are doing and hands out what they made. Its settings come from the
// environment; docs/settings.md lists them.
package main

import (
	"context"
	"errors"
	"flag"
	"io"

	"longshore/cmd/internal/program"
	"longshore/config"
	"longshore/internal/connect"
)

func main() { program.Main(run, 256<<20) }

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("web", flag.ContinueOnError)
	if done, err := program.Flags(fs, args, stdout, stderr); done {
		return err
	}
	if err := program.NoArguments(fs); err != nil {
		return err
	}
	c, err := config.LoadWeb(getenv)
	if err != nil {
		return program.Settings(err)
	}
	log := program.Logger(c.Log, stdout)
	where := program.Connection(c.Redis, c.Blobs, c.Jobs, c.Space, log)
	where.MaxJobs = c.HTTP.Ceilings.Jobs
	sys, err := connect.Open(ctx, where)
	if err != nil {
		return err
	}
	l, err := program.Listen(c.HTTP, log)
	if err != nil {
		return errors.Join(err, sys.Close())
	}
	return errors.Join(program.Web(ctx, sys, c.HTTP, c.Jobs, c.Stop, l), sys.Close())
}
