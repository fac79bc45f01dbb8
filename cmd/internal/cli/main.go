// Package cli is the command line enqueue: it submits jobs, follows them and fetches what they made.
//
// It speaks HTTP to the server that LONGSHORE_URL names, with LONGSHORE_TOKEN. Where only REDIS_URL is set it
// goes straight to Redis and the blob store, by Within, which the program worker has: the program enqueue
// becomes that one then, and stays small. Data goes to stdout, messages and progress to stderr, both with
// control characters as escapes; the exit codes are in exit.go and in docs/cli.md.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"longshore/internal/printable"
	"longshore/internal/version"
)

// Main runs a command line to its end and returns the code to exit with. Without a Within, what is to work on
// Redis itself takes the program worker in this one's place.
func Main(args []string, in Within) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return Report(Run(ctx, args, os.Getenv, os.Stdin, os.Stdout, os.Stderr, in), os.Stderr)
}

// A CLI is one call of enqueue.
type CLI struct {
	args   []string
	getenv func(string) string
	within Within // nil = the program worker has it
	in     io.Reader
	out    io.Writer // data, through a printable.Writer
	err    io.Writer // messages and progress, likewise
	raw    io.Writer // stdout as it is, for the bytes of files
	screen io.Writer // stderr as it is, for bars
	format string    // "text", "json" or "jsonl"
}

// Say writes a message; the texts among its arguments may be strangers'.
func (p *CLI) Say(format string, args ...any) { printable.Fprintf(p.err, format+"\n", args...) }

// Run runs the command line. The error says how to exit; see Report.
func Run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader,
	stdout, stderr io.Writer, in Within) error {
	p := &CLI{args: args, getenv: getenv, within: in, in: stdin, raw: stdout, screen: stderr,
		out: printable.NewWriter(stdout), err: printable.NewWriter(stderr)}
	asked := false
	started := false // the command line was understood
	root := &cobra.Command{
		Use:   "enqueue",
		Short: "Submit jobs to Longshore, follow them, fetch what they made",
		Long: "Submit jobs to Longshore, follow them, fetch what they made.\n\n" +
			"LONGSHORE_URL names the server, LONGSHORE_TOKEN is the token it asks for.\n" +
			"Where only REDIS_URL is set, all but queues go straight to Redis and the blob store.\n" +
			"Data goes to stdout, messages and progress to stderr.\n\n" +
			"The exit code is 0 for success, 2 for a wrong command line, 3 for a failed job, 4 for a\n" +
			"canceled or expired one, 5 where something is not there, 69 where the server or Redis\n" +
			"can't be reached, 78 for a wrong configuration, 124 when a wait ran out, 130 for an\n" +
			"interrupt, and 1 for all else.",
		Example: "  enqueue submit log.analyze access.log --set top=5 --wait\n" +
			"  enqueue batch jobs.ndjson\n" +
			"  enqueue ls --state failed\n" +
			"  source <(enqueue completion bash)",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			started = true
			return p.checkFormat()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked {
				return p.write([]byte("longshore enqueue " + version.Build() + "\n"))
			}
			cmd.SetOut(p.err)
			_ = cmd.Usage()
			return Usage("a command is missing")
		},
	}
	// Not cobra's own --version: its template would link text/template, and with
	// it every method of every type, which is 8 MB.
	root.Flags().BoolVar(&asked, "version", false, "print the version and exit")
	root.PersistentFlags().StringVar(&p.format, "format", "text",
		"how data is written: text, json or jsonl (with --wait: a line for each change)")
	root.AddCommand(p.commands(args)...)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(p.out)
	root.SetErr(p.err)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return nil
	case !started:
		return Usage("%w\nSee '%s --help'.", err, cmd.CommandPath())
	case ctx.Err() != nil && !errors.As(err, new(*exit)):
		return &exit{ExitInterrupted, err}
	default:
		return err
	}
}

// all are the commands, in no order: cobra sorts them.
var all = []struct {
	name string
	make func(*CLI) *cobra.Command
}{
	{"submit", (*CLI).submitCommand},
	{"batch", (*CLI).batchCommand},
	{"batches", (*CLI).batchesCommand},
	{"get", (*CLI).getCommand},
	{"wait", (*CLI).waitCommand},
	{"watch", (*CLI).watchCommand},
	{"fetch", (*CLI).fetchCommand},
	{"cancel", (*CLI).cancelCommand},
	{"retry", (*CLI).retryCommand},
	{"release", (*CLI).releaseCommand},
	{"change", (*CLI).changeCommand},
	{"callback", (*CLI).callbackCommand},
	{"delete", (*CLI).deleteCommand},
	{"ls", (*CLI).listCommand},
	{"queues", (*CLI).queuesCommand},
	{"types", (*CLI).typesCommand},
	{"doctor", (*CLI).doctorCommand},
	{"callback-secret", (*CLI).secretCommand},
	{"keys", (*CLI).keysCommand},
	{"users", (*CLI).usersCommand},
	{"functions", (*CLI).functionsCommand},
	{"count", (*CLI).countCommand},
	{"stats", (*CLI).statsCommand},
	{"failures", (*CLI).failuresCommand},
	{"timeline", (*CLI).timelineCommand},
	{"logs", (*CLI).logsCommand},
	{"pause", (*CLI).pauseCommand},
	{"resume", (*CLI).resumeCommand},
	{"drain", (*CLI).drainCommand},
	{"workers", (*CLI).workersCommand},
	{"ops", (*CLI).opsCommand},
	{"profiles", (*CLI).profilesCommand},
	{"schedules", (*CLI).schedulesCommand},
	{"limits", (*CLI).limitsCommand},
	{"alerts", (*CLI).alertsCommand},
	{"backup", (*CLI).backupCommand},
	{"restore", (*CLI).restoreCommand},
	{"work", (*CLI).workCommand},
	{"asynq-move", (*CLI).asynqMoveCommand},
}

// commands are those that a command line may need: the one that it begins with, or else all. To make
// all of them is a quarter of what the program does until it asks a server.
func (p *CLI) commands(args []string) []*cobra.Command {
	var made []*cobra.Command
	for _, c := range all {
		if len(args) > 0 && c.name == args[0] {
			return []*cobra.Command{c.make(p)}
		}
	}
	if len(args) == 1 && args[0] == "--version" {
		return nil
	}
	for _, c := range all {
		made = append(made, c.make(p))
	}
	return made
}
