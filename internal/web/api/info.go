package api

import (
	"context"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/tasks"
)

// Info tells of the installation, and whether this process can do its work.
type Info struct {
	Catalog  *tasks.Catalog
	Queues   func(context.Context) ([]httpapi.QueueInfo, error)
	Workers  func(context.Context) ([]httpapi.WorkerInfo, error)
	Reach    func(context.Context) error // nil: the job store answers
	Stopping context.Context             // ends when the server is to
}

// Routes are what it serves.
func (h Info) Routes() []edge.Route {
	return []edge.Route{
		{Op: edge.At("GET", httpapi.PathTypes, "list-types", "The kinds of work there are"),
			Access: edge.Bearer, Handle: edge.Typed(h.types)},
		{Op: edge.At("GET", httpapi.PathQueues, "list-queues",
			"How long the queues are, and which workers are there"),
			Access: edge.Bearer, Handle: edge.Typed(h.queues)},
		{Op: edge.At("GET", httpapi.PathHealth, "health", "The process is alive"),
			Access: edge.Public, Probe: true, Handle: edge.Typed(health)},
		{Op: edge.At("GET", httpapi.PathReady, "ready", "The process can do its work"),
			Access: edge.Public, Probe: true, Handle: edge.Typed(h.ready)},
	}
}

type typesOutput struct{ Body httpapi.TypeList }

func (h Info) types(context.Context, *struct{}) (*typesOutput, error) {
	out := &typesOutput{Body: httpapi.TypeList{Types: []httpapi.TypeInfo{}}}
	for _, i := range h.Catalog.All() {
		out.Body.Types = append(out.Body.Types, typeInfo(i))
	}
	for _, r := range h.Catalog.Refused() {
		out.Body.Refused = append(out.Body.Refused, httpapi.RefusedType{Type: r.Type, Reason: r.Reason})
	}
	return out, nil
}

func typeInfo(i tasks.Info) httpapi.TypeInfo {
	return httpapi.TypeInfo{Type: i.Type, Doc: i.Doc, Lane: i.Lane, TimeoutMS: i.TimeoutMS,
		MaxAttempts: i.MaxAttempts, Input: string(i.Input), ForbidOverlap: i.ForbidOverlap, Schema: i.Schema}
}

type queuesOutput struct{ Body httpapi.QueueList }

func (h Info) queues(ctx context.Context, _ *struct{}) (*queuesOutput, error) {
	queues, err := h.Queues(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := h.Workers(ctx)
	if err != nil {
		return nil, err
	}
	return &queuesOutput{Body: httpapi.QueueList{Queues: append([]httpapi.QueueInfo{}, queues...),
		Workers: append([]httpapi.WorkerInfo{}, workers...)}}, nil
}

type statusOutput struct{ Body httpapi.Status }

func health(context.Context, *struct{}) (*statusOutput, error) {
	return &statusOutput{httpapi.Status{Status: "ok"}}, nil
}

// readyTimeout is how long the job store may take to say that it is there.
const readyTimeout = 2 * time.Second

// ready is red while the job store is out of reach, and while the server stops,
// so that a load balancer looks elsewhere.
func (h Info) ready(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	if h.Stopping.Err() != nil {
		return nil, unready("the server is stopping")
	}
	limited, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := h.Reach(limited); err != nil {
		return nil, unready("the job store can't be reached").Wrap(err)
	}
	return health(ctx, nil)
}

func unready(detail string) *httpapi.Error {
	return httpapi.NewError(httpapi.Unavailable, detail).WithRetryAfter(time.Second)
}
