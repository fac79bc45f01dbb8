//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"longshore/internal/backup"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
)

func (p *cli) backup(ctx context.Context, dir, inputs string) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	sys, err := connect.Open(ctx, p.loud(s))
	if err != nil {
		return unconnected(err)
	}
	begun := time.Now()
	m, err := backup.Write(ctx, sys, dir, inputs)
	if err := errors.Join(err, sys.Close()); err != nil {
		return unlessFolder(err)
	}
	if p.format != "text" {
		return p.printJSON(m)
	}
	p.say("%s, in %s; it took %v", told(m.Counts), dir, time.Since(begun).Round(time.Millisecond))
	p.sayLeft(m.Counts)
	return nil
}

func (p *cli) restore(ctx context.Context, dir string) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	begun := time.Now()
	done, err := backup.Restore(ctx, p.loud(s), dir)
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
		return misconfigured(err)
	case err != nil:
		return unlessFolder(err)
	}
	if p.format != "text" {
		return p.printJSON(done)
	}
	if done.Resumed {
		p.say("it goes on where it was: made now: %s", some(done.Made, "job", "jobs"))
	}
	p.say("%s, from %s; it took %v", told(done.Counts), dir, time.Since(begun).Round(time.Millisecond))
	p.sayLeft(done.Counts)
	if done.Ended > 0 {
		p.say("%s had ended before the backup had", some(done.Ended, "job", "jobs"))
	}
	if len(done.LimitsLeft) > 0 {
		p.say("limits of what runs or starts can't hold on a Cluster, and are left out: %s",
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
func (p *cli) sayLeft(c backup.Counts) {
	if c.Uploads > 0 {
		p.say("%d uploads under way are left out: their clients begin again", c.Uploads)
	}
	if c.Damaged > 0 {
		p.say("%d records can't be read and are left out: see enqueue doctor", c.Damaged)
	}
	if c.Missing > 0 {
		p.say("%d files are missing where jobs have them", c.Missing)
	}
}
