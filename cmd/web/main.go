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
	"longshore/internal/functions/host"
)

func main() {
	host.Main() // in a child process it reads a module that is deployed, and does not return
	program.Main(run, 256<<20)
}

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
	above, end := program.Supervised(c.Above, nil)
	defer end()
	log := program.Logger(c.Log, stdout)
	where := program.Connection(c.Redis, c.Blobs, c.Jobs, c.Space, log)
	where.MaxJobs, where.AccessSecrets = c.HTTP.Ceilings.Jobs, c.HTTP.Access.Secrets()
	program.Trace(&where, c.Traces, "web")
	sys, err := connect.Open(ctx, where)
	if err != nil {
		return err
	}
	l, err := program.Listen(c.HTTP, c.Sockets, log)
	if err != nil {
		return errors.Join(err, sys.Close())
	}
	return errors.Join(program.Web(ctx, sys, c.HTTP, c.Jobs, c.Deployed, c.Stop, l, above, nil), sys.Close())
}
