// Command streams measures the stream tasks beside the tools that people use for
// the same work, on made-up inputs, and prints a table. Every measurement is a
// process of its own that may use one core and throws its output away; ours and
// the tools' take turns, and the best of all rounds counts. Rates are given by
// the clock and by CPU time, which says more on a busy machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"longshore/handlers"
	"longshore/internal/loggen"
	"longshore/job"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "streams:", err)
		os.Exit(1)
	}
}

// A comparison is one kind of work, done by us and by tools.
type comparison struct {
	typ, payload string
	input        string
	tools        [][]string // IN stands for the input's name
}

var comparisons = []comparison{
	{"log.analyze", `{}`, "log",
		[][]string{{"goaccess", "IN", "--log-format=COMBINED", "-o", "json", "--no-progress"}}},
	{"csv.to_ndjson", `{}`, "csv", [][]string{{"mlr", "--icsv", "--ojsonl", "cat", "IN"}}},
	{"ndjson.filter", `{"filter":".status >= 500"}`, "ndjson", [][]string{
		{"jq", "-c", "select(.status >= 500)", "IN"}, {"mlr", "--ijsonl", "--ojsonl", "filter",
			"$status >= 500", "IN"}}},
	{"ndjson.to_csv", `{}`, "ndjson", [][]string{{"mlr", "--ijsonl", "--ocsv", "cat", "IN"}}},
	{"file.compress", `{"format":"gzip"}`, "log",
		[][]string{{"gzip", "-c", "IN"}, {"pigz", "-p1", "-c", "IN"}}},
	{"file.compress", `{"format":"zstd"}`, "log", [][]string{{"zstd", "-T1", "-q", "-c", "IN"}}},
	{"file.checksum", `{}`, "log", [][]string{{"sha256sum", "IN"}}},
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	size := flags.Int64("mb", 32, "size of the log in MB; tables are three fifths of that")
	rounds := flags.Int("rounds", 3, "how often each measurement is made")
	seed := flags.Uint64("seed", 1, "of the made-up inputs")
	typ := flags.String("type", "", "run a task on a file, and nothing else")
	payload := flags.String("payload", "{}", "of that task")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *typ != "" {
		return task(ctx, *typ, *payload, flags.Arg(0))
	}
	dir, err := os.MkdirTemp("", "streams")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := inputs(dir, *seed, *size<<20); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "work\tby\tMB/s\tMB/CPU s\tresident MB\t")
	for _, c := range comparisons {
		name := filepath.Join(dir, c.input)
		commands := [][]string{{self, "-type", c.typ, "-payload", c.payload, name}}
		for _, tool := range c.tools {
			commands = append(commands, replaced(tool, name))
		}
		best := make([]measure, len(commands))
		for range *rounds {
			for i, command := range commands {
				if err := best[i].run(ctx, command); err != nil {
					return err
				}
			}
		}
		for i, m := range best {
			by := "longshore"
			if i > 0 {
				by = c.tools[i-1][0]
			}
			fmt.Fprintf(table, "%s %s\t%s\t%s\t\n", c.typ, strings.Trim(c.payload, "{}"), by, m.text(name))
		}
	}
	return table.Flush()
}

func replaced(command []string, input string) []string {
	all := make([]string, len(command))
	for i, arg := range command {
		all[i] = arg
		if arg == "IN" {
			all[i] = input
		}
	}
	return all
}

// inputs writes the files that all read.
func inputs(dir string, seed uint64, size int64) error {
	rows := loggen.Rows{Seed: seed, Bytes: size * 3 / 5}
	for name, r := range map[string]io.Reader{
		"log": loggen.New(loggen.Options{Seed: seed, Bytes: size}), "csv": rows.CSV(),
		"ndjson": rows.NDJSON(),
	} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// A measure is the best of some runs of one command.
type measure struct {
	missing   bool
	wall, cpu time.Duration
	resident  int64 // bytes, the least
}

func (m *measure) run(ctx context.Context, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		m.missing = true
		return nil //nolint:nilerr // it is said in the table
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "LC_ALL=C")
	began := time.Now()
	if err := cmd.Run(); err != nil { // without a Stdout it writes to the null device
		return fmt.Errorf("%s: %w", command[0], err)
	}
	wall, cpu := time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	if m.wall == 0 || wall < m.wall {
		m.wall = wall
	}
	if m.cpu == 0 || cpu < m.cpu {
		m.cpu = cpu
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		resident := int64(usage.Maxrss)
		if runtime.GOOS == "linux" {
			resident <<= 10
		}
		if m.resident == 0 || resident < m.resident {
			m.resident = resident
		}
	}
	return nil
}

func (m *measure) text(input string) string {
	if m.missing {
		return "not installed\t\t"
	}
	info, err := os.Stat(input)
	if err != nil {
		return err.Error()
	}
	rate := func(d time.Duration) float64 { return float64(info.Size()) / 1e6 / d.Seconds() }
	return fmt.Sprintf("%.0f\t%.0f\t%.0f", rate(m.wall), rate(m.cpu), float64(m.resident)/1e6)
}

// task runs a built-in handler on a file.
func task(ctx context.Context, typ, payload, input string) error {
	entry, ok := handlers.BuiltIn().Lookup(typ)
	if !ok {
		return fmt.Errorf("no type %s", typ)
	}
	info, err := os.Stat(input)
	if err != nil {
		return err
	}
	result, err := entry.Run(ctx, &handlers.Run{ID: job.NewID(time.Now()), Type: typ, Attempt: 1,
		InputSize: info.Size(), Files: file(input)}, []byte(payload))
	if err != nil {
		return err
	}
	if !json.Valid(result) {
		return errors.New("the result is no JSON")
	}
	return nil
}

// A file is the input of a run that throws its outputs away.
type file string

// Input opens the file.
func (f file) Input(context.Context) (io.ReadCloser, error) { return os.Open(string(f)) }

// Output takes everything.
func (f file) Output(context.Context, string, string) (handlers.Output, error) {
	return nowhere{io.Discard}, nil
}

type nowhere struct{ io.Writer }

func (nowhere) Commit() error { return nil }
func (nowhere) Abort() error  { return nil }
