// Package direct is the way into Longshore for a program that stands beside the
// workers: it speaks to Redis and the blob store itself, with no web process between.
// What it takes and returns is what package client does, so a program can use the one
// or the other.
//
//	c, err := direct.Open(ctx, direct.Config{Connection: direct.Connection{
//		RedisURL: os.Getenv("REDIS_URL"), BlobURL: os.Getenv("BLOB_URL"),
//	}})
//	defer c.Close()
//	snap, err := direct.Submit(ctx, c, greet, Greeting{Name: "Ada"}, direct.Submission{})
//	snap, err = c.Wait(ctx, snap.ID)
//
// Whoever has the password of Redis may do anything to all jobs; users belong to web,
// which has tokens and limits.
package direct

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"longshore/client"
	"longshore/installation"
	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/refusal"
	"longshore/internal/submit"
	"longshore/tasks"
)

// Connection says where the installation is.
type Connection = installation.Config

// ErrSettings marks an error of Open that other settings would mend, not time.
var ErrSettings = installation.ErrSettings

// Config of a Client.
type Config struct {
	Connection

	Retention time.Duration // of jobs that name none; 0 = 24 h
	MaxInput  int64         // of a job, in bytes; 0 = no limit
	// The most that a job may ask for; 0 = what any installation allows.
	MaxTimeout, MaxRetention time.Duration
	MaxAttempts              int
	// RetryFor is how long what is safe to repeat is repeated while Redis or the blob
	// store is away. 0 = client.DefaultRetryFor, negative = not at all.
	RetryFor time.Duration
}

// The words of package client.
type (
	Submission  = client.Submission
	Filter      = client.Filter
	Page        = client.Page
	BatchAnswer = client.BatchAnswer
	Error       = client.Error
)

// A Client is one connected installation. It is safe for concurrent use. Close it.
type Client struct {
	sys       *connect.System
	submitter *submit.Submitter
	catalog   *tasks.Catalog
	hub       *hub.Hub
	log       *slog.Logger
	retryFor  time.Duration

	known sync.Map // types of definitions that were put into the catalog
	// What runs until Close; the hub's subscription only once somebody waits.
	background context.Context
	stop       context.CancelFunc
	running    sync.WaitGroup
	listen     sync.Once
}

// Open connects. It knows the built-in types and those that workers have published.
func Open(ctx context.Context, c Config) (*Client, error) {
	catalog, err := tasks.NewBuiltIn()
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sys, err := connect.Open(ctx, c.Connection)
	if err != nil {
		return nil, err
	}
	if err := sys.LoadTypes(ctx, catalog); err != nil {
		c.Log.WarnContext(ctx, "some published types are not known", "error", err)
	}
	keeper := jobstore.NewKeeper(sys.Store, c.Log)
	d := &Client{sys: sys, catalog: catalog, log: c.Log, retryFor: c.RetryFor, hub: hub.New(sys.Store, c.Log),
		submitter: sys.Submitter(keeper, catalog, c.Retention, c.MaxInput)}
	d.submitter.MaxTimeout = cmp.Or(c.MaxTimeout, d.submitter.MaxTimeout)
	d.submitter.MaxRetention = cmp.Or(c.MaxRetention, d.submitter.MaxRetention)
	d.submitter.MaxAttempts = cmp.Or(c.MaxAttempts, d.submitter.MaxAttempts)
	if d.retryFor == 0 {
		d.retryFor = client.DefaultRetryFor
	}
	// The lease of an upload is renewed until Close, also while its caller cleans up
	// after an interrupt.
	d.background, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.running.Go(func() {
		sys.Background(d.background, keeper.Run, sys.WatchRoom, sys.Limits.Run,
			func(ctx context.Context) error { return sys.RefreshTypes(ctx, catalog) })
	})
	return d, nil
}

// Close ends what runs and lets go of the connections. No call may be under way.
func (c *Client) Close() error {
	c.stop()
	c.running.Wait()
	return c.sys.Close()
}

// know puts a definition into the catalog, so that jobs of its type are checked by it
// also before any worker has published it.
func know[P any](c *Client, d tasks.Definition[P]) error {
	if _, known := c.known.Load(d.Type); known {
		return nil
	}
	info, err := d.Info()
	if err == nil {
		err = c.catalog.Add(info)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	c.known.Store(d.Type, true)
	return nil
}

// insist repeats what fails because Redis or the blob store is away, for as long as
// the configuration says. The error is an *Error.
func (c *Client) insist(ctx context.Context, do func() error) error {
	pause, until, said := 200*time.Millisecond, time.Now().Add(c.retryFor), false
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		refused := refusal.Of(err)
		wait := waitAfter(refused, pause)
		if !passing(refused) || time.Now().Add(wait).After(until) {
			return refused
		}
		if !said {
			c.log.WarnContext(ctx, "no answer, trying on", "error", refused)
			said = true
		}
		if err := loop.Sleep(ctx, wait); err != nil {
			return err
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// waitAfter is how long to wait before what was refused is tried again. Whom a limit refuses is told.
func waitAfter(refused *Error, pause time.Duration) time.Duration {
	if refused.Code != httpapi.QueueFull || refused.RetryAfter <= 0 {
		return pause
	}
	return httpapi.Spread(refused.RetryAfter)
}
