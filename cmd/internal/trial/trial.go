// Package trial tries functions where they are written: it says what is wrong with them, lists them
// and runs one as a worker would, without Redis. It is a part of the program worker, which has all
// that runs functions; enqueue functions check, ls and run start it there, so that the client need
// not carry that.
package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"longshore/internal/printable"
)

// A cli is one call.
type cli struct {
	getenv func(string) string
	out    io.Writer // data
	err    io.Writer // messages
	format string    // "text", "json" or "jsonl"
}

// An exit is an error with an exit code of its own, of those of enqueue.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &exit{2, fmt.Errorf(format, args...)} }

// Main runs a command line without its first word, functions, and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := Run(ctx, args, os.Getenv, os.Stdout, os.Stderr)
	if err == nil {
		return 0
	}
	printable.Fprintf(os.Stderr, "functions: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	if own := (*exit)(nil); errors.As(err, &own) {
		return own.code
	}
	return 1
}

// Run runs a command line. Its error may have an exit code.
func Run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	p := &cli{getenv: getenv, out: printable.NewWriter(stdout), err: printable.NewWriter(stderr)}
	started := false // the command line was understood
	root := &cobra.Command{
		Use: "functions", Short: "Check and try functions: folders with programs in any language",
		SilenceErrors: true, SilenceUsage: true,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "enqueue functions"},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			started = true
			if !slices.Contains([]string{"text", "json", "jsonl"}, p.format) {
				return usage("--format must be one of text, json, jsonl")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Usage() },
	}
	root.PersistentFlags().StringVar(&p.format, "format", "text", "how data is written: text, json or jsonl")
	root.AddCommand(p.check(), p.list(), p.run())
	root.SetArgs(args)
	root.SetOut(p.out)
	root.SetErr(p.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		return usage("%w\nSee '%s --help'.", err, cmd.CommandPath())
	}
	return err
}

// say writes a message; the texts among its arguments may be strangers'.
func (p *cli) say(format string, args ...any) { printable.Fprintf(p.err, format+"\n", args...) }

func (p *cli) write(text []byte) error {
	if _, err := p.out.Write(text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

func (p *cli) printJSON(v any) error {
	text, err := printable.JSON(v, p.format == "json")
	if err != nil {
		return err
	}
	return p.write(text)
}

func printLines[T any](p *cli, values []T) error {
	for _, v := range values {
		if err := p.printJSON(v); err != nil {
			return err
		}
	}
	return nil
}
