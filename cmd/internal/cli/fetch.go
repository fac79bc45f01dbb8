package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) fetchCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "fetch ID [NAME]",
		Short: "Fetch an output of a job that has ended",
		Long: "Fetch the output NAME of a job that has ended; without a name its only output, or\n" +
			"else its result as JSON. It goes to stdout, or to the file of -o; a folder there\n" +
			"gets all outputs, each under its name. On a terminal control characters are shown\n" +
			"as escapes; a file or a pipe gets the bytes as they are.",
		Example: "  enqueue fetch 01a20967-50f3-73e0-89b5-4af387a3557a -o report.json\n" +
			"  enqueue fetch 01a20967-50f3-73e0-89b5-4af387a3557a access.log.gz | zcat | head",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := ParseID(args[0])
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			return p.with(cmd.Context(), func(at Installation) error {
				snap := job.Snapshot{ID: id}
				if name == "" && isFolder(output) {
					if snap, err = at.Get(cmd.Context(), id); err != nil {
						return err
					}
				}
				return p.save(cmd.Context(), at, snap, name, output)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write, or a folder for all outputs")
	return cmd
}

// checkPlace refuses a place of -o that could not be written to anyway.
func checkPlace(to string) error {
	if to == "" || to == "-" || isFolder(to) {
		return nil
	}
	if os.IsPathSeparator(to[len(to)-1]) || !isFolder(filepath.Dir(to)) {
		return Usage("-o %s: there is no such folder", printable.Text(to))
	}
	return nil
}

// save writes one output of a job, or what it made as a whole, to the given
// place: "" and "-" are stdout.
func (p *CLI) save(ctx context.Context, at Installation, snap job.Snapshot, name, to string) error {
	if !isFolder(to) {
		return p.saveOne(ctx, at, snap.ID, name, to)
	}
	outputs := snap.Outputs
	if name != "" {
		outputs = []job.Output{{Name: name}}
	}
	return eachOutput(&fileNames{system: runtime.GOOS}, outputs, func(name, local string) error {
		return p.saveOne(ctx, at, snap.ID, name, filepath.Join(to, local))
	})
}

// eachOutput calls do for each output, with the name of a file for it that is no other
// output's; without outputs once, for the result.
func eachOutput(names *fileNames, outputs []job.Output, do func(name, local string) error) error {
	if len(outputs) == 0 {
		return do("", "result.json")
	}
	for _, o := range outputs {
		local := names.plain(o.Name)
		for n := 2; names.used(local); n++ {
			local = names.plain(o.Name) + "-" + strconv.Itoa(n)
		}
		names.use(local)
		if err := do(o.Name, local); err != nil {
			return err
		}
	}
	return nil
}

func (p *CLI) saveOne(ctx context.Context, at Installation, id job.ID, name, to string) error {
	in, size, err := at.Open(ctx, id, name)
	if err != nil {
		return err
	}
	defer in.Close()
	if to == "" || to == "-" {
		if err := p.toStdout(in); err != nil {
			return fmt.Errorf("fetch from job %s: %w", id, err)
		}
		return nil
	}
	show := p.newProgress()
	defer show.close()
	if err := writeFile(to, show.output(in, size)); err != nil {
		return fmt.Errorf("fetch from job %s: %w", id, err)
	}
	show.close()
	p.Say("wrote %s", to)
	return nil
}

// toStdout copies the bytes of a file: as they are, but for a terminal.
func (p *CLI) toStdout(in io.Reader) error {
	if !isTerminal(p.raw) {
		_, err := io.Copy(p.raw, in)
		return err
	}
	w := printable.NewWriter(p.raw)
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	return w.Flush()
}

// writeFile writes a file whole or not at all. What is there and is no file, as
// /dev/null or a named pipe, is written to: a file in its place would be the end
// of it, for all programs.
func writeFile(name string, from io.Reader) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return writeInto(name, from)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".longshore-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func writeInto(name string, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return name != "" && err == nil && info.IsDir()
}
