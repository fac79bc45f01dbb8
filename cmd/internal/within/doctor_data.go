package within

import (
	"context"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
)

// data says whether Redis has what it had.
func (d *doctor) data(ctx context.Context, sys *connect.System) {
	loss, err := sys.Janitor.Vouch(ctx)
	switch {
	case err != nil:
		d.Warn("data", "see that Redis and the blob store can be reached and written",
			"whether Redis has lost jobs can't be seen: %v", err)
	case loss.Is():
		d.Fail(cli.ExitOther, "data", cli.FixLoss, "Redis has lost %s; what isn't there is answered store_reset, and "+
			"no orphaned files are deleted", lostText(loss))
	default:
		d.OK("data", "Redis has lost none")
	}
}

// lostText says which jobs are meant.
func lostText(l jobstore.Loss) string {
	until := l.To.UTC().Format(time.RFC3339)
	if l.From.IsZero() {
		return "the jobs from before " + until
	}
	return "jobs from " + l.From.UTC().Format(time.RFC3339) + " to " + until
}

// AcceptLoss ends a loss of Redis's data, for all processes.
func (within) AcceptLoss(ctx context.Context, p *cli.CLI) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	sys, err := connect.Open(ctx, connection(s))
	if err != nil {
		return err
	}
	defer func() { _ = sys.Close() }() // nothing is under way
	loss, err := sys.Janitor.AcceptLoss(ctx)
	if err != nil {
		return err
	}
	if !loss.Is() {
		p.Say("Redis has lost nothing: there is nothing to accept")
		return nil
	}
	p.Say("accepted: %s are gone; their ids are answered 404, and their files go as orphans within a day or two",
		lostText(loss))
	return nil
}

// DropFormat2 makes room for records of format 3 where there are some of format 2. It says what goes.
func (within) DropFormat2(ctx context.Context, p *cli.CLI) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	was, err := connect.DropFormat2(ctx, connection(s))
	if err != nil {
		return err
	}
	p.Say("records of format 2 are gone: %d open jobs, %d ended ones, %d callbacks that were to be delivered",
		was.Open, was.Ended, was.Callbacks)
	return nil
}
