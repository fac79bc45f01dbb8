package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// How files of jobs go along in a backup.
const (
	inputsByCopy = "copy"
	inputsByName = "name"
)

func (p *CLI) backupCommand() *cobra.Command {
	inputs := ""
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Write all that an installation needs to go on into a folder, while it runs",
		Long: "Write open jobs, schedules, limits, API keys (as hashes), people, deployed functions and pauses\n" +
			"into a folder, while all goes on. It needs REDIS_URL, and BLOB_URL as a web process has it. Whoever\n" +
			"reads the folder sees what jobs are to do: it is made for this user alone. docs/backup.md tells more.",
		Example: "  enqueue backup /backups/monday\n" +
			"  enqueue backup --inputs name /backups/monday   # the new one uses the same BLOB_URL",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if inputs != inputsByCopy && inputs != inputsByName {
				return Usage("--inputs is copy or name, not %q", inputs)
			}
			if err := p.needsRedis(); err != nil {
				return err
			}
			return p.inside(func(in Within) error { return in.Backup(cmd.Context(), p, args[0], inputs) })
		},
	}
	cmd.Flags().StringVar(&inputs, "inputs", inputsByCopy,
		"copy: files of jobs are copied into the folder; name: they stay where they are, and who restores has the same BLOB_URL")
	return cmd
}

func (p *CLI) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore DIR",
		Short: "Put a backup into an empty installation, before any of its programs is started",
		Long: "Put a backup into the empty installation that REDIS_URL, PREFIX and BLOB_URL name, which may be on a\n" +
			"Cluster where the other one wasn't, or the other way round. None of its programs may run, and none starts\n" +
			"before it is whole. Where it was ended in its midst, run it again: it goes on.",
		Example: "  REDIS_URL=redis://new:6379 BLOB_URL=file:///new enqueue restore /backups/monday",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.needsRedis(); err != nil {
				return err
			}
			return p.inside(func(in Within) error { return in.Restore(cmd.Context(), p, args[0]) })
		},
	}
}

// needsRedis refuses what only works on Redis itself where none is named.
func (p *CLI) needsRedis() error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	if strings.TrimSpace(s.Redis.URL.Reveal()) == "" {
		return Misconfigured(errors.New("this works on Redis itself: set REDIS_URL, and BLOB_URL as web has it"))
	}
	return nil
}
