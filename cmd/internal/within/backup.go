package within

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/internal/backup"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
)

// Backup writes what an installation needs to go on into a folder.
func (within) Backup(ctx context.Context, p *cli.CLI, dir, inputs string) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	sys, err := connect.Open(ctx, loud(p, s))
	if err != nil {
		return unconnected(err)
	}
	begun := time.Now()
	m, err := backup.Write(ctx, sys, dir, inputs)
	if err := errors.Join(err, sys.Close()); err != nil {
		return unlessFolder(err)
	}
	if !p.Text() {
		return p.PrintJSON(m)
	}
	p.Say("%s, in %s; it took %v", told(m.Counts), dir, time.Since(begun).Round(time.Millisecond))
	sayLeft(p, m.Counts)
	return nil
}

// Restore puts a backup into an empty installation.
func (within) Restore(ctx context.Context, p *cli.CLI, dir string) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	begun := time.Now()
	done, err := backup.Restore(ctx, loud(p, s), dir)
	switch {
	case errors.Is(err, jobstore.ErrNotEmpty):
		return fmt.Errorf("%w: a backup needs an empty installation, another PREFIX or another Redis; nothing was written", err)
	case errors.Is(err, jobstore.ErrRestored):
		return fmt.Errorf("%w: nothing was written", err)
	case errors.Is(err, jobstore.ErrOtherBackup):
		return fmt.Errorf("%w: run that again, or empty this installation; nothing was written", err)
	case errors.Is(err, jobstore.ErrAlive):
		return fmt.Errorf("%w: end all of them, then run this again", err)
	case errors.Is(err, backup.ErrPlace):
		return cli.Misconfigured(err)
	case err != nil:
		return unlessFolder(err)
	}
	if !p.Text() {
		return p.PrintJSON(done)
	}
	if done.Resumed {
		p.Say("it goes on where it was: made now: %s", some(done.Made, "job", "jobs"))
	}
	p.Say("%s, from %s; it took %v", told(done.Counts), dir, time.Since(begun).Round(time.Millisecond))
	sayLeft(p, done.Counts)
	if done.Ended > 0 {
		p.Say("%s had ended before the backup had", some(done.Ended, "job", "jobs"))
	}
	if len(done.LimitsLeft) > 0 {
		p.Say("limits of what runs or starts can't hold on a Cluster, and are left out: %s",
			strings.Join(done.LimitsLeft, ", "))
	}
	return nil
}

// unlessFolder is unconnected, but for what is wrong with the folder: a full disk is no server that is away.
func unlessFolder(err error) error {
	if errors.As(err, new(*fs.PathError)) {
		return err
	}
	return unconnected(err)
}

func told(c backup.Counts) string {
	return strings.Join([]string{some(c.Jobs, "job", "jobs"), some(c.Batches, "batch", "batches") + " among them",
		some(c.Schedules, "schedule", "schedules"), some(c.Limits, "limit", "limits"),
		some(c.Functions, "function", "functions"), some(c.Pauses, "pause", "pauses"),
		some(c.Access, "entry of access", "entries of access"),
		some(c.Files, "file", "files") + " of " + some(c.Bytes, "byte", "bytes")}, ", ")
}

// some tells how many there are of a thing.
func some(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// sayLeft says what is not in a backup.
func sayLeft(p *cli.CLI, c backup.Counts) {
	if c.Uploads > 0 {
		p.Say("%d uploads under way are left out: their clients begin again", c.Uploads)
	}
	if c.Damaged > 0 {
		p.Say("%d records can't be read and are left out: see enqueue doctor", c.Damaged)
	}
	if c.Missing > 0 {
		p.Say("%d files are missing where jobs have them", c.Missing)
	}
}
