package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// access says who may use a route.
type access string

const (
	public access = "public" // anybody: probes and the description of the API
	bearer access = "bearer" // who sends the token, where one is set
	// socketOnly is bearer where a page's script can't set the header: the token
	// may be in a subprotocol.
	socketOnly access = "socket"
)

// A route is one line of the table. Its method and path are those of op.
type route struct {
	op     huma.Operation
	access access
	json   bool // the body is strict JSON, read before the handler
	loose  bool // parameters that it doesn't know are ignored, as all of a stream's are: libraries add their own (_=123)
	probe  bool // asked every few seconds: logged at debug level
	add    func(s *Server, api huma.API, rt *route)
	// quick serves the plain requests of the route; it reports whether it has
	// answered. nil = none are.
	quick func(*answer, *http.Request) bool
}

// routes is the whole API. POST on /v1/jobs/{id} takes a type's name for id:
// to OpenAPI, and so to us, a path has one name for its parameter.
func (s *Server) routes() []route {
	at := func(method, path, name, summary string) huma.Operation {
		return huma.Operation{Method: method, Path: path, OperationID: name, Summary: summary}
	}
	const one = httpapi.PathJobs + "/{id}"
	return append(s.uploadRoutes(), []route{
		{op: s.submitOperation(), access: bearer, json: true, add: typed(s.submitJSON), quick: s.quickSubmit},
		{op: batchOperation(), access: bearer, add: raw(s.batch)},
		{op: s.submitTypeOperation(), access: bearer, add: raw(s.submitRaw)},
		{op: at("GET", httpapi.PathJobs, "list-jobs", "List jobs, newest first, or wait for several"), access: bearer, loose: true, add: typed(s.listJobs)},
		{op: at("GET", one, "get-job", "A job as it is, or as soon as it has moved"), access: bearer, loose: true, add: typed(s.getJob), quick: s.quickGet},
		{op: eventsOperation(), access: bearer, add: raw(s.jobEvents)},
		{op: manyEventsOperation(), access: bearer, add: raw(s.manyEvents)},
		{op: socketOperation(), access: socketOnly, add: raw(s.serveSocket)},
		{op: deleteOperation(), access: bearer, add: typed(s.deleteJob)},
		{op: at("POST", one+"/cancel", "cancel-job", "Ask for a job's end"), access: bearer, add: typed(s.cancelJob)},
		{op: at("GET", one+"/callback", "get-callback", "How the delivery of a job's webhook goes"), access: bearer, add: typed(s.callback)},
		{op: retryOperation(), access: bearer, add: typed(s.retryJob)},
		{op: resultOperation(), access: bearer, add: raw(s.result)},
		{op: outputOperation(), access: bearer, add: raw(s.output)},
		{op: at("GET", httpapi.PathTypes, "list-types", "The kinds of work there are"), access: bearer, add: typed(s.listTypes)},
		{op: at("GET", httpapi.PathQueues, "list-queues", "How long the queues are, and which workers are there"), access: bearer, add: typed(s.listQueues)},
		{op: at("GET", httpapi.PathHealth, "health", "The process is alive"), access: public, probe: true, add: typed(s.health)},
		{op: at("GET", httpapi.PathReady, "ready", "The process can do its work"), access: public, probe: true, add: typed(s.ready)},
		{op: documentOperation(), access: public, add: raw(s.openAPI)},
	}...)
}

// typed makes a route of a function over structs, as a huma operation.
func typed[I, O any](handle func(context.Context, *I) (*O, error)) func(*Server, huma.API, *route) {
	return func(s *Server, api huma.API, rt *route) {
		huma.Register(api, rt.op, func(ctx context.Context, in *I) (*O, error) {
			out, err := handle(ctx, in)
			if err != nil {
				e := s.refusal(ctx, answerOf(ctx), err)
				answerOf(ctx).cause = e.Unwrap()
				return nil, (*problem)(e)
			}
			return out, nil
		})
	}
}

// raw makes a route of a plain handler, for bodies that stream. Its operation
// is only a description.
func raw(handle func(http.ResponseWriter, *http.Request) error) func(*Server, huma.API, *route) {
	return func(s *Server, api huma.API, rt *route) {
		api.Adapter().Handle(&rt.op, plain(func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				s.refuse(w.(*answer), r, err)
			}
		}))
		api.OpenAPI().AddOperation(&rt.op)
	}
}
