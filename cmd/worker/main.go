// Command worker runs jobs of the built-in types. Start as many as the work
// needs, on as many machines as share the Redis and the blob store. Its
// settings come from the environment; docs/settings.md lists them.
package main

import (
	"context"
	"flag"
	"io"
	"os"

	"longshore/cmd/internal/cli"
	"longshore/cmd/internal/program"
	"longshore/cmd/internal/trial"
	"longshore/cmd/internal/within"
	"longshore/cmd/internal/work"
	"longshore/config"
	"longshore/handlers"
	"longshore/internal/sdnotify"
	"longshore/worker"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "enqueue" {
		os.Exit(cli.Main(os.Args[2:], within.New())) // for enqueue on Redis itself
	}
	worker.Main(handlers.BuiltIn()) // in a child process it serves jobs and does not return
	if len(os.Args) > 1 && os.Args[1] == "functions" {
		os.Exit(trial.Main(os.Args[2:])) // for enqueue functions
	}
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(work.Main(os.Args[2:])) // for enqueue work
	}
	program.Main(run, 32<<20)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	if done, err := program.Flags(fs, args, stdout, stderr); done {
		return err
	}
	if err := program.NoArguments(fs); err != nil {
		return err
	}
	c, err := config.LoadWorker(getenv)
	if err != nil {
		return program.Settings(err)
	}
	pulse := new(program.Pulse)
	above, end := program.Supervised(c.Above, pulse.Words)
	defer end()
	defer context.AfterFunc(ctx, func() { above.Say(sdnotify.Stopping) })()
	log := program.Logger(c.Log, stdout)
	where := program.Connection(c.Redis, c.Blobs, c.Jobs, c.Space, log)
	where.AccessSecrets = c.Sealing.Secrets()
	program.Trace(&where, c.Traces, "worker")
	quiet, stop := program.Quiet()
	defer stop()
	return program.Worker(ctx, where, c.Work, c.Memory, c.Recycle, c.Deployed, c.Stop,
		program.Signs{Ready: func() { above.Say(sdnotify.Ready) }, Pulse: pulse.Beat, Quiet: quiet})
}
