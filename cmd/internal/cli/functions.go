package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"longshore/internal/functions/starter"
)

func (p *CLI) functionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "functions",
		Short: "Make, check and try functions: folders with programs in any language",
		Long: "Make, check and try functions: a folder functions/<type>/ with a program in any language\n" +
			"is a type of work. FUNCTIONS_DIR names the folder of functions, default functions in the\n" +
			"working directory. What is deployed goes through the server of LONGSHORE_URL; the rest needs none.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Usage() },
	}
	cmd.AddCommand(p.functionsInit(),
		p.functionsOf("check", "Say what is wrong with a function, or with all of a folder"),
		p.functionsOf("ls", "List the functions of a folder"),
		p.functionsOf("run", "Run a function here, as a worker would"),
		p.functionsDeploy(), p.functionsVersions(), p.functionsRollback(), p.functionsRemove())
	return cmd
}

func (p *CLI) functionsInit() *cobra.Command {
	return &cobra.Command{
		Use:       "init " + strings.Join(starter.Languages(), "|") + " TYPE",
		Short:     "Write a working function in a language",
		Long:      "Write a working function in a language, as a start: a program and a function.json.",
		Example:   "  enqueue functions init python hello.world",
		Args:      cobra.ExactArgs(2),
		ValidArgs: starter.Languages(),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := p.Settings()
			if err != nil {
				return err
			}
			folder, err := starter.Write(args[0], s.Functions.Dir, args[1])
			if err != nil {
				return err
			}
			if args[0] == "go" {
				p.buildGo(cmd.Context(), folder)
			}
			p.Say("%s is written; try it: enqueue functions run %s --payload '{\"name\":\"Ada\"}'", folder,
				folder)
			return p.write([]byte(folder + "\n"))
		},
	}
}

// buildGo builds the executable of a function in Go, where there is a compiler.
func (p *CLI) buildGo(ctx context.Context, folder string) {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", "run", ".")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		p.Say("not built (%v): run go build -o run . in %s, now and after each change\n%s", err, folder,
			string(text))
	}
}

// functionsOf is a command that the program worker has, with all that runs functions. It parses the
// command line there, so --help shows the flags.
func (p *CLI) functionsOf(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.runWorker(cmd.Context(), append([]string{"functions", name}, args...))
		},
	}
}

// runWorker runs the program worker, which says itself what goes wrong.
func (p *CLI) runWorker(ctx context.Context, args []string) error {
	path, err := workerProgram()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, path, args...)
	child.Stdin, child.Stdout, child.Stderr = p.in, p.raw, p.screen
	// it ends what it runs
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	err = child.Run()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && ended.Exited() {
		return &exit{code: ended.ExitCode()}
	}
	return err
}

// workerProgram is the program worker that came with this one, or else that of the PATH.
func workerProgram() (string, error) {
	name := "worker"
	if runtime.GOOS == "windows" {
		return "", errors.New("programs run on Linux and macOS")
	}
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errors.New("programs are run, and Redis itself is worked on, by the program worker, which is neither " +
			"beside enqueue nor on the PATH: take it from the same release, or build both with make build")
	}
	return path, nil
}
