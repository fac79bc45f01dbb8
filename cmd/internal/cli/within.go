package cli

import (
	"context"
	"errors"
	"log/slog"
	"runtime"

	"longshore/config"
	"longshore/job"
)

// Within is what works on Redis and the blob store themselves.
type Within interface {
	// Open goes straight to them; the caller closes what it gets.
	Open(context.Context, *CLI, config.Enqueue) (Installation, error)
	Keys(config.Enqueue, func(Keyring) error) error
	People(config.Enqueue, func(People) error) error

	Examine(context.Context, *Doctor, config.Enqueue)
	AcceptLoss(context.Context, *CLI) error
	DropFormat2(context.Context, *CLI) error
	Fix(context.Context, *CLI) error
	Dissect(context.Context, *CLI, job.ID) error

	Backup(ctx context.Context, p *CLI, dir, inputs string) error
	Restore(ctx context.Context, p *CLI, dir string) error
	AsynqMove(context.Context, *CLI, AsynqMove) error
}

// errWithin: processes that share a Redis and a folder run on Linux and macOS, and so does what works
// on these itself.
var errWithin = errors.New("on Windows this needs a server: set LONGSHORE_URL to one, or run enqueue where the " +
	"server runs")

// inside does what needs a Within.
func (p *CLI) inside(do func(Within) error) error {
	in, err := p.onRedis()
	if err != nil {
		return err
	}
	return do(in)
}

// onRedis returns what works on Redis itself. Where this program has none it becomes the one that has,
// with the same arguments, so it is asked for before anything was read or written; then it returns
// only an error.
func (p *CLI) onRedis() (Within, error) {
	if p.within != nil {
		return p.within, nil
	}
	if runtime.GOOS == "windows" {
		return nil, Misconfigured(errWithin)
	}
	return nil, Misconfigured(becomeWorker(append([]string{"enqueue"}, p.args...)))
}

// Warnings is the log of what works on Redis itself.
func (p *CLI) Warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
