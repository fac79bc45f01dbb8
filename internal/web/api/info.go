package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
	"longshore/tasks"
)

// Info tells of the installation, and whether this process can do its work.
type Info struct {
	Catalog  *tasks.Catalog
	Queues   func(context.Context) ([]httpapi.QueueInfo, error)
	Workers  func(context.Context) ([]httpapi.WorkerInfo, error)
	Reach    func(context.Context) error // nil: the job store answers
	Whole    func(context.Context) error // job.ErrStoreReset: the store has lost data; nil = not looked at
	Stopping context.Context             // ends when the server is to
}

// Routes are what it serves.
func (h Info) Routes() []edge.Route {
	return []edge.Route{
		{Op: edge.At("GET", httpapi.PathTypes, "list-types", "The kinds of work there are"),
			Access: edge.Bearer, Scope: access.JobsRead, Handle: h.types, Body: httpapi.TypeList{}},
		{Op: edge.At("GET", httpapi.PathQueues, "list-queues",
			"How long the queues are, and which workers are there"),
			Access: edge.Bearer, Scope: access.Numbers, Handle: h.queues, Body: httpapi.QueueList{}},
		{Op: edge.At("GET", httpapi.PathHealth, "health", "The process is alive"),
			Access: edge.Public, Probe: true, Handle: health, Body: httpapi.Status{}},
		{Op: edge.At("GET", httpapi.PathReady, "ready", "The process can do its work"),
			Access: edge.Public, Probe: true, Handle: h.ready, Body: httpapi.Status{}},
	}
}

// none are the parameters of these routes.
var none edge.NoParams

func (h Info) types(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	list := httpapi.TypeList{Types: []httpapi.TypeInfo{}}
	for _, i := range h.Catalog.All() {
		if !a.Who.Submits(i.Type) {
			continue
		}
		list.Types = append(list.Types, typeInfo(i))
	}
	for _, r := range h.Catalog.Refused() {
		if !a.Who.Submits(r.Type) {
			continue
		}
		list.Refused = append(list.Refused, httpapi.RefusedType{Type: r.Type, Reason: r.Reason})
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

func typeInfo(i tasks.Info) httpapi.TypeInfo {
	return httpapi.TypeInfo{Type: i.Type, Doc: i.Doc, Lane: i.Lane, TimeoutMS: i.TimeoutMS,
		MaxAttempts: i.MaxAttempts, Input: string(i.Input), ForbidOverlap: i.ForbidOverlap, Schema: i.Schema,
		RetentionMS: i.RetentionMS, DeleteInput: i.DeleteInput, Sandbox: i.Sandbox, Version: i.Version}
}

func (h Info) queues(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	queues, err := h.Queues(r.Context())
	if err != nil {
		return err
	}
	var workers []httpapi.WorkerInfo
	if a.Who.May(access.Numbers, true) { // they are everybody's
		if workers, err = h.Workers(r.Context()); err != nil {
			return err
		}
	}
	edge.WriteJSON(a, http.StatusOK, httpapi.QueueList{Queues: append([]httpapi.QueueInfo{}, queues...),
		Workers: append([]httpapi.WorkerInfo{}, workers...)})
	return nil
}

func health(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, httpapi.Status{Status: "ok"})
	return nil
}

// readyTimeout is how long the job store may take to say that it is there.
const readyTimeout = 2 * time.Second

// ready is red while the job store is out of reach, and while the server stops,
// so that a load balancer looks elsewhere.
func (h Info) ready(a *edge.Answer, r *http.Request) error {
	if h.Stopping.Err() != nil {
		return unready("the server is stopping")
	}
	limited, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := h.Reach(limited); err != nil {
		return unready("the job store can't be reached").Wrap(err)
	}
	// Not red: new jobs work, and a balancer that took every web out would help nobody.
	if h.Whole != nil && errors.Is(h.Whole(limited), job.ErrStoreReset) {
		if err := none.Read(r, nil); err != nil {
			return err
		}
		edge.WriteJSON(a, http.StatusOK, httpapi.Status{Status: string(httpapi.StoreReset)})
		return nil
	}
	return health(a, r)
}

func unready(detail string) *httpapi.Error {
	return httpapi.NewError(httpapi.Unavailable, detail).WithRetryAfter(time.Second)
}
