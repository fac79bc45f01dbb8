package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
)

func (p *CLI) profilesCommand() *cobra.Command {
	out := ""
	cmd := &cobra.Command{
		Use: "profiles [ID]", Short: "Show profiles of processes whose memory went short, or fetch one",
		Long: "Show the profiles of memory that are kept, the newest five; with an id fetch one, as ID.heap and\n" +
			"ID.goroutines. \"go tool pprof -top ID.heap\" tells which function holds the most.",
		Example: "  enqueue profiles\n  enqueue profiles 01a20967-50f3-73e0-89b5-4af387a3557a --out /tmp",
		Args:    cobra.MaximumNArgs(1),
		RunE: p.askServer(func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 0 {
				list, err := c.Profiles(ctx)
				if err != nil {
					return err
				}
				return showList(p, list, func(t *tabwriter.Writer) {
					fmt.Fprintln(t, "ID\tAT\tPROGRAM\tHOST\tPID\tWHY")
					for _, l := range list {
						printable.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, clock(l.At)[:19], l.Program,
							l.Host, l.PID, l.Why)
					}
				})
			}
			for _, part := range []string{"heap", "goroutines"} {
				if err := p.fetchProfile(ctx, c, args[0], part, out); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&out, "out", ".", "the folder that an id's files are written to")
	return cmd
}

func (p *CLI) fetchProfile(ctx context.Context, c *client.Client, text, part, folder string) (err error) {
	id, err := ParseID(text)
	if err != nil {
		return err
	}
	from, err := c.Profile(ctx, id, part)
	if err != nil {
		return err
	}
	defer from.Close()
	name := filepath.Join(folder, string(id)+"."+part)
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(to, from); err == nil {
		p.Say("%s", name)
	}
	return errors.Join(err, to.Close())
}
