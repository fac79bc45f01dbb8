package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/job"
)

func (p *cli) fetchCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "fetch ID [NAME]",
		Short: "Fetch an output of a job that has ended",
		Long: "Fetch the output NAME of a job that has ended; without a name its only output, or\n" +
			"else its result as JSON. It goes to stdout, or to the file of -o; a folder there\n" +
			"gets all outputs, each under its name.",
		Example: "  enqueue fetch 01a20967-50f3-73e0-89b5-4af387a3557a -o report.json\n" +
			"  enqueue fetch 01a20967-50f3-73e0-89b5-4af387a3557a access.log.gz | zcat | head",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := p.clientFor(args[0])
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			snap := job.Snapshot{ID: id}
			if name == "" && isFolder(output) {
				if snap, err = c.Get(cmd.Context(), id); err != nil {
					return err
				}
			}
			return p.save(cmd.Context(), c, snap, name, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write, or a folder for all outputs")
	return cmd
}

// save writes one output of a job, or what it made as a whole, to the given
// place: "" and "-" are stdout.
func (p *cli) save(ctx context.Context, c *client.Client, snap job.Snapshot, name, to string) error {
	if isFolder(to) {
		names := []string{name}
		if name == "" {
			names = names[:0]
			for _, output := range snap.Outputs {
				names = append(names, output.Name)
			}
		}
		if len(names) == 0 {
			return p.saveOne(ctx, c, snap.ID, "", filepath.Join(to, "result.json"))
		}
		for _, name := range names {
			if err := p.saveOne(ctx, c, snap.ID, name, filepath.Join(to, plain(name))); err != nil {
				return err
			}
		}
		return nil
	}
	return p.saveOne(ctx, c, snap.ID, name, to)
}

func (p *cli) saveOne(ctx context.Context, c *client.Client, id job.ID, name, to string) error {
	var file *client.File
	var err error
	if name == "" {
		file, err = c.Result(ctx, id)
	} else {
		file, err = c.Output(ctx, id, name)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if to == "" || to == "-" {
		if _, err := io.Copy(p.out, file); err != nil {
			return fmt.Errorf("fetch from job %s: %w", id, err)
		}
		return nil
	}
	show := p.newProgress()
	defer show.close()
	if err := writeFile(to, show.output(file, file.Size)); err != nil {
		return fmt.Errorf("fetch from job %s: %w", id, err)
	}
	show.close()
	fmt.Fprintf(p.err, "wrote %s\n", to)
	return nil
}

// writeFile writes a file whole or not at all.
func writeFile(name string, from io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
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

// plain makes a file name of a server's word for an output: a path would leave the folder.
func plain(name string) string {
	base := filepath.Base(filepath.FromSlash(name))
	if base == "." || base == ".." || base == string(filepath.Separator) {
		return "output"
	}
	return base
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return name != "" && err == nil && info.IsDir()
}
