package cli

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"longshore/internal/bytesize"
	"longshore/internal/claimer"
	"longshore/internal/httpapi"
)

// workCommand runs claimed jobs here, by a program of the caller's.
func (p *CLI) workCommand() *cobra.Command {
	var w claimer.Program
	var program, grace, inputAs, memory string
	cmd := &cobra.Command{
		Use:   "work --types TYPES --exec PROGRAM [-- ARGUMENTS]",
		Short: "Run jobs of claimed types here, by a program of your own",
		Long: "Run jobs of claimed types here, by a program of your own: it is started for each job, finds the\n" +
			"payload in the file that LONGSHORE_PAYLOAD names, its input on stdin, and writes its result to stdout.\n" +
			"docs/functions.md tells the contract; the program has this environment and no sandbox. It needs\n" +
			"LONGSHORE_URL alone, and a key with the scope jobs:work; PUT /v1/types/{type} makes the types.\n\n" +
			"At SIGTERM or an interrupt no more jobs are taken, those that run have --grace to end, and the rest\n" +
			"is released: another process runs it.",
		Example: "  enqueue work --types 'photos.*' --exec ./caption.py --slots 4\n" +
			"  enqueue work --types reports.build --exec python3 -- -u report.py",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := p.Settings()
			if err != nil {
				return err
			}
			if s.URL == "" {
				return Misconfigured(errors.New("jobs are claimed over HTTP: set LONGSHORE_URL"))
			}
			w.Command = append([]string{program}, args...)
			if err := readWork(&w, grace, inputAs, memory); err != nil {
				return err
			}
			text, err := json.Marshal(w)
			if err != nil {
				return err
			}
			if err := errors.Join(os.Setenv("LONGSHORE_URL", s.URL),
				os.Setenv("LONGSHORE_TOKEN", s.Token.Reveal())); err != nil {
				return err
			}
			return becomeWorker([]string{"work", string(text)})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&w.Types, "types", nil, "types to run, or globs of them, as photos.*")
	f.StringSliceVar(&w.Queues, "queues", nil, "queues to take from; default: all")
	f.StringVar(&program, "exec", "", "the program: a path, or a name on the PATH")
	f.IntVar(&w.Slots, "slots", 1, "how many jobs run at a time, 1 to 100")
	f.StringVar(&grace, "grace", "20s", "how long jobs that run have to end once this command is to")
	f.StringVar(&inputAs, "input-as", "stdin", "how the program gets a job's input: stdin, or file for what seeks")
	f.StringVar(&memory, "memory", "", "what a job's processes may use together, as 512MiB; default: no limit")
	return cmd
}

// readWork reads what flags have as texts, and names the process.
func readWork(w *claimer.Program, grace, inputAs, memory string) error {
	switch {
	case len(w.Types) == 0:
		return Usage("--types: name some, as 'photos.*'")
	case w.Command[0] == "":
		return Usage("--exec: name a program")
	case w.Slots < 1 || w.Slots > httpapi.MaxClaims:
		return Usage("--slots: expected 1 to %d", httpapi.MaxClaims)
	case inputAs != "stdin" && inputAs != "file":
		return Usage("--input-as: expected stdin or file")
	}
	w.InputFile = inputAs == "file"
	d, err := httpapi.ParseDuration(grace)
	if err != nil || d < 0 {
		return Usage("--grace: expected a time, as 20s")
	}
	w.GraceMS = d.Milliseconds()
	if memory != "" {
		if w.Memory, err = bytesize.Parse(memory); err != nil {
			return Usage("--memory: %w", err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, host[:min(len(host), 60)])
	w.Worker = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
	return nil
}

// becomeWorker has the program worker take this process's place: so one process hears signals and has the
// terminal, and none is left behind where this one is killed. It returns only with an error.
func becomeWorker(args []string) error {
	path, err := workerProgram()
	if err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, append([]string{path}, args...), os.Environ()))
}
