package trial

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"longshore/internal/functions"
	"longshore/internal/functions/host"
	"longshore/internal/functions/program"
	"longshore/internal/printable"
	"longshore/internal/sandbox"
	"longshore/job"
	"longshore/tasks"
)

// loader is a loader as a worker with this environment would have it.
func (p *cli) loader() *functions.Loader {
	return &functions.Loader{Path: p.getenv("PATH"), Starts: program.Starts}
}

// load loads a function's folder, or a folder of functions.
func (p *cli) load(dir string) ([]*functions.Function, []functions.Fault, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, nil, &exit{5, err}
	}
	if !job.IsFolderType(filepath.Base(path)) && !isFunction(path) {
		found, faults := p.loader().Load(path)
		return found, faults, nil
	}
	f, faults := p.loader().LoadOne(path)
	if f == nil {
		return nil, faults, nil
	}
	return []*functions.Function{f}, faults, nil
}

// isFunction reports whether a folder looks like a function's own.
func isFunction(path string) bool {
	_, err := os.Stat(filepath.Join(path, functions.ManifestFile))
	return err == nil
}

// folderOf is the folder that is named, or that of the settings.
func (p *cli) folderOf(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return cmp.Or(p.getenv("FUNCTIONS_DIR"), "functions")
}

func (p *cli) check() *cobra.Command {
	start := false
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Say what is wrong with a function, or with all of a folder",
		Long: "Say what is wrong with a function, or with all of a folder of functions, as a worker would.\n" +
			"With --start each that can be called without an input is run once with the payload {} in the\n" +
			"sandbox, for real, and a path that was refused to it is named.",
		Example: "  enqueue functions check functions/hello.world --start",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, faults, err := p.load(p.folderOf(args))
			if err != nil {
				return err
			}
			for _, f := range faults {
				p.say("%s", f.Error())
			}
			wrong := len(faults)
			for _, f := range found {
				if why := p.checkOne(cmd.Context(), f, start); why != nil {
					p.say("%s: %s", f.Folder, why.Error())
					wrong++
				}
			}
			if lacks := sandbox.Missing(); lacks != "" {
				p.say("the sandbox lacks here: %s", lacks)
			}
			if err := p.printFunctions(found); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d faults", wrong)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&start, "start", false, "run each once with an empty payload")
	return cmd
}

// checkOne finds what only a start shows.
func (p *cli) checkOne(ctx context.Context, f *functions.Function, start bool) error {
	if f.Manifest.Sandbox == functions.SandboxRequire && sandbox.Missing() != "" {
		return errors.New("sandbox: require, and this system lacks a part of it")
	}
	if !start || f.Manifest.Input == tasks.InputRequired {
		return nil
	}
	out, err := os.MkdirTemp("", "longshore-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	var refused []string
	l := p.local(f, func(line functions.Line) {
		if path := refusedPath(line.Text); path != "" {
			refused = append(refused, path)
		}
	})
	l.Payload, l.Out = []byte("{}"), out
	o, err := l.Run(ctx, f)
	switch {
	case err != nil:
		return err
	case len(refused) > 0:
		return fmt.Errorf(
			"was refused %s: a folder named in read, a port in network, or TMPDIR may be what it needs",
			strings.Join(refused, ", "))
	}
	return o.Err
}

// refusedPath finds what a program was refused in what it says about it: "" = nothing.
func refusedPath(text string) string {
	lower := strings.ToLower(text)
	if !strings.Contains(lower, "permission denied") && !strings.Contains(lower, "not permitted") &&
		!strings.Contains(text, "EACCES") &&
		!strings.Contains(text, "EPERM") {
		return ""
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return strings.ContainsRune(" '\"`:,()[]<>", r)
	}) {
		if len(word) > 1 && word[0] == '/' {
			return word
		}
	}
	return text
}

func (p *cli) list() *cobra.Command {
	return &cobra.Command{
		Use:   "ls [DIR]",
		Short: "List the functions of a folder",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			found, faults, err := p.load(p.folderOf(args))
			if err != nil {
				return err
			}
			for _, f := range faults {
				p.say("%s", f.Error())
			}
			return p.printFunctions(found)
		},
	}
}

// A functionInfo is how a function is listed.
type functionInfo struct {
	Type    string         `json:"type"`
	Mode    functions.Mode `json:"mode"`
	Command []string       `json:"command"`
	Sandbox string         `json:"sandbox"`
	Digest  string         `json:"digest"`
	Folder  string         `json:"folder"`
	Doc     string         `json:"doc,omitempty"`
}

func (p *cli) printFunctions(found []*functions.Function) error {
	infos := make([]functionInfo, len(found))
	for i, f := range found {
		infos[i] = functionInfo{f.Type, f.Manifest.Mode, f.Command, host.SandboxOf(f), f.Digest, f.Folder,
			f.Manifest.Doc}
	}
	switch p.format {
	case "json":
		return p.printJSON(infos)
	case "jsonl":
		return printLines(p, infos)
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TYPE\tMODE\tSANDBOX\tSTARTS\tWHAT IT MAKES")
	for _, f := range infos {
		printable.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", f.Type, f.Mode, f.Sandbox,
			strings.Join(f.Command, " "), f.Doc)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return p.write(b.Bytes())
}
