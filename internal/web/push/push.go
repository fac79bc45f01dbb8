// Package push is the wing of requests that wait: long-polls, which the wing api has
// served here, streams of Server-Sent Events and WebSockets. Thousands of them wait on
// one subscription, that of package hub; docs/push.md tells of them.
package push

import (
	"cmp"
	"context"
	"errors"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Hub waits for jobs. hub.Hub implements it.
type Hub interface {
	Wait(ctx context.Context, by *access.Principal, patience time.Duration, wants ...hub.Want) ([]job.Rev,
		error)
	Release() // ends all waits
	Look(ctx context.Context, wants ...hub.Want) ([]job.Rev, error)
	Watch() *hub.Watcher
}

// Records reads jobs.
type Records interface {
	GetMany(ctx context.Context, by access.View, ids []job.ID) ([]job.Reading, error)
}

// Config of a Handler.
type Config struct {
	Heartbeat time.Duration // after which a silent stream shows that it lives; 0 = 15 s
	Idle      time.Duration // how long a client may take no byte; 0 = 30 s
	// Identify returns who has a token, for sockets that get a new one.
	Identify func(ctx context.Context, token string) (*access.Principal, error)
}

// A Handler serves streams and sockets.
type Handler struct {
	Config
	records  Records
	hub      Hub
	waiters  *Waiters
	show     func(job.Snapshot) job.Snapshot
	stopping context.Context // ends when the server is to
}

// New returns a handler whose clients count among the waiters.
func New(
	c Config, records Records, h Hub, w *Waiters, show func(job.Snapshot) job.Snapshot,
	stopping context.Context,
) *Handler {
	c.Heartbeat, c.Idle = cmp.Or(c.Heartbeat, 15*time.Second), cmp.Or(c.Idle, 30*time.Second)
	return &Handler{c, records, h, w, show, stopping}
}

// Routes are what it serves.
func (h *Handler) Routes() []edge.Route {
	return []edge.Route{
		{Op: eventsOperation(), Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.jobEvents},
		{Op: manyEventsOperation(), Access: edge.Bearer, Scope: access.JobsRead, Handle: h.manyEvents},
		{Op: socketOperation(), Access: edge.Socket, Scope: access.JobsRead, Handle: h.socket},
	}
}

// A missingJob is the data of event "missing": a job that is not there (any
// more), or can't be read.
type missingJob struct {
	ID   job.ID       `json:"id"`
	Code httpapi.Code `json:"code"`
}

func codeOfReading(err error) httpapi.Code {
	switch {
	case errors.Is(err, job.ErrStoreReset):
		return httpapi.StoreReset
	case errors.Is(err, job.ErrNotFound):
		return httpapi.NotFound
	}
	return httpapi.Unavailable // damaged, or of a newer version
}
