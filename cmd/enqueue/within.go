//go:build !windows

package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"longshore/config"
	"longshore/direct"
	installed "longshore/installation"
	"longshore/internal/redisdb"
	"longshore/job"
)

type onRedis struct{ *direct.Client }

var _ installation = onRedis{}

// within goes straight to Redis and the blob store.
func (p *cli) within(ctx context.Context, s config.Enqueue) (installation, error) {
	c, err := direct.Open(ctx, direct.Config{Connection: p.loud(s), Retention: s.Jobs.Retention,
		MaxInput:   int64(s.MaxUpload),
		MaxTimeout: s.Ceilings.Timeout, MaxRetention: s.Ceilings.Retention, MaxAttempts: s.Ceilings.Attempts})
	return onRedis{c}, unconnected(err)
}

func (o onRedis) open(ctx context.Context, id job.ID, name string) (io.ReadCloser, int64, error) {
	open := o.Result
	if name != "" {
		open = func(ctx context.Context, id job.ID) (*direct.File, error) { return o.Output(ctx, id, name) }
	}
	file, err := open(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	return file, file.Size, nil
}

func (o onRedis) clock(context.Context) (time.Time, error) { return time.Now(), nil }

func (o onRedis) close() error { return o.Close() }

// loud is the connection of what works on Redis itself: it says what is to be warned of.
func (p *cli) loud(s config.Enqueue) installed.Config {
	where := connection(s)
	where.Log = p.warnings()
	redisdb.LogTo(where.Log)
	return where
}

// warnings is the log of what works on Redis itself.
func (p *cli) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
