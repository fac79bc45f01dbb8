package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"longshore/config"
	"longshore/internal/blob"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/redisdb"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// A door takes jobs without a web server: *submit.Door.
type door interface {
	Submit(context.Context, submit.Request) (snap job.Snapshot, created bool, err error)
	SubmitMany(context.Context, []submit.Draft) []httpapi.BatchAnswer
	SubmitBatch(ctx context.Context, next func() ([]submit.Draft, error), answer func([]httpapi.BatchAnswer) error) error
}

// A direct is a door with what submit needs beside it.
type direct struct {
	door
	// fromFields builds a payload of texts, by the type's schema.
	fromFields func(typ string, fields url.Values) ([]byte, error)
	close      func() error
}

// openDirect connects to Redis and the blob store, as a web process does.
func openDirect(ctx context.Context, s config.Enqueue, log *slog.Logger) (*direct, error) {
	builtIn, err := tasks.BuiltIn()
	if err != nil {
		return nil, err
	}
	catalog, err := tasks.NewCatalog(builtIn...)
	if err != nil {
		return nil, err
	}
	where := connection(s)
	where.Log = log
	redisdb.LogTo(log)
	sys, err := connect.Open(ctx, where)
	if err != nil {
		return nil, unconnected(err)
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		log.WarnContext(ctx, "some published types are not known", "error", err)
	}
	// The lease of an upload is renewed until the program ends, also while it
	// cleans up after an interrupt.
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	keeper := jobstore.NewKeeper(sys.Store, log)
	kept := make(chan error, 1)
	go func() { kept <- keeper.Run(keeping) }()
	door := sys.Door(keeper, catalog, s.Jobs.Retention, int64(s.MaxUpload))
	door.MaxTimeout, door.MaxRetention, door.MaxAttempts = s.Ceilings.Timeout, s.Ceilings.Retention, s.Ceilings.Attempts
	return &direct{
		door:       door,
		fromFields: catalog.FromQuery,
		close: func() error {
			stop()
			return errors.Join(<-kept, sys.Close())
		},
	}, nil
}

// unconnected gives an error of connecting its exit code.
func unconnected(err error) error {
	switch {
	case errors.Is(err, connect.ErrSettings):
		return misconfigured(err)
	case redisdb.Unavailable(err), errors.Is(err, blob.ErrUnavailable):
		return fmt.Errorf("%w: %w", httpapi.NewError(httpapi.Unavailable, ""), err)
	default:
		return err
	}
}
